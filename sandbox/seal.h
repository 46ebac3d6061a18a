// seal() gives up, for this process and for ever, everything its job does not need: all
// capabilities, new privileges, every system call outside the named sets (the process is killed),
// every file outside the named paths (Landlock). Call it once, after opening what must be opened and
// before the first untrusted byte. Any step that fails is an error: there is no partial seal.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace oqto::sandbox {

// Code that touches untrusted bytes can demand a Sealed: only seal() makes one.
class Sealed {
  friend Result<Sealed> seal(const struct Seal& wanted);
  Sealed() = default;
};

// Named sets of system calls; what each contains and why: policies/syscall_sets.cc.
struct Seal {
  std::vector<std::string_view> sets;          // e.g. {"io", "memory", "clock", "exit"}
  std::vector<std::string_view> also;          // single calls, each with its reason beside it
  std::vector<std::string> read_beneath = {};  // paths whose files may be opened for reading
  std::vector<std::string> write_beneath = {}; // … for reading, writing, creating and deleting
  bool outbound_tcp = false;                   // may create TCP sockets (the gateway alone)
  bool may_fork = false;                       // plain fork(2), no exec (the relay's listener alone)
};

Result<Sealed> seal(const Seal& wanted);

// The best Landlock ABI of this kernel, 0 if it has none.
int landlock_abi();

}  // namespace oqto::sandbox
