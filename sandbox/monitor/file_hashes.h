// The SHA-256 of program files, where the policy asks for it. A file that has not changed since is not
// read again: its inode, its size and the times of its last changes say so. The kernel's clock for
// those is coarse, so what has changed just now is not remembered.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <string>

#include "ipc/audit.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

constexpr std::uint64_t kMaxHashedBytes = std::uint64_t{256} << 20;  // of one file
constexpr std::size_t kMaxHashes = 256;

class FileHashes {
 public:
  // Of the file that `process`, stopped right after its exec, is an image of.
  void add_to(ipc::AuditAppend& record, const Tracees& tracees, pid_t process);

 private:
  struct Known {
    struct stat of;
    std::string sha256;
  };
  std::deque<Known> known_;
};

}  // namespace oqto::sandbox
