// cgroup v2 for sessions: one leaf per session, which everything of the session is born in
// (CLONE_INTO_CGROUP), with limits, a kill that nothing forks away from, and readings.
//
//   DELEGATED/NAME/main          the processes that make the sessions, where they must not stay above
//   DELEGATED/NAME/sessions/...  one leaf each
//
// DELEGATED is the nearest cgroup above us that the system manager has given away (`Delegate=yes`), or
// the root of the hierarchy where no manager runs. Nothing elsewhere is touched.
// Kernel: Documentation/admin-guide/cgroup-v2.rst.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "policies/profiles.h"

namespace oqto::sandbox {

struct Controllers {
  bool memory = false, pids = false, cpu = false, io = false;
  // What `cgroups = "required"` asks for. Not every device offers io limits.
  [[nodiscard]] bool enough() const { return memory && pids && cpu; }
};

// Zero where the kernel does not say. Pressure: share of the last ten seconds in which some task
// waited for the resource, in hundredths of a percent (PSI `some avg10`).
struct CgroupUsage {
  std::uint64_t memory_bytes = 0, memory_peak_bytes = 0, swap_bytes = 0;
  std::uint64_t processes = 0;
  std::uint64_t cpu_us = 0;
  std::uint64_t io_read_bytes = 0, io_written_bytes = 0;
  std::uint64_t cpu_pressure = 0, memory_pressure = 0, io_pressure = 0;
  std::uint64_t memory_kills = 0;  // processes ended because memory.max was reached
};

// The leaf of one session. Destroying it ends and removes nothing: see CgroupTree::remove().
class Cgroup {
 public:
  [[nodiscard]] const Fd& directory() const { return directory_; }  // for CLONE_INTO_CGROUP
  [[nodiscard]] const std::string& name() const { return name_; }

  // Everything in it gets SIGKILL, also what is being forked. Needs Linux 5.14.
  Status kill() const;
  [[nodiscard]] bool populated() const;
  [[nodiscard]] CgroupUsage usage() const;

  Cgroup() = default;
  explicit operator bool() const { return static_cast<bool>(directory_); }

 private:
  friend class CgroupTree;
  Fd directory_;
  std::string name_;
};

class CgroupTree {
 public:
  // `name`, "oqto-…", belongs to this process alone, as long as it lives; what an earlier one of the same name left is ended and
  // removed. Moves the calling process (and, in a delegated cgroup, whoever shares it) into
  // NAME/main if the kernel wants that. Succeeds also where no controller is available: a leaf is
  // then good for kill() only. Errc::not_found: no cgroup v2 here; Errc::io: not ours to change;
  // Errc::unavailable: a process that lives has it, which is left alone (the log says which).
  static Result<CgroupTree> create(std::string_view name);

  [[nodiscard]] const Controllers& controllers() const { return controllers_; }

  // Makes a leaf with these limits. `disk` is the device of the workspace, 0 for none: io limits
  // are set where it is a disk and the controller is there. A limit that its controller refuses is
  // an error.
  Result<Cgroup> make(std::string_view name, const policies::Limits& limits, dev_t disk);

  // Errc::limit: something in it still lives; try again.
  Status remove(const Cgroup& leaf);

  // Somebody has removed it, perhaps to put another one in its place: no leaf can be made any more.
  [[nodiscard]] bool is_lost() const;

  // Removes what is empty of the tree. For the end of the process.
  void remove_tree();

 private:
  Fd lock_;
  Fd delegated_;
  Fd sessions_;
  std::string name_;
  Controllers controllers_;
};

// Where the cgroup v2 of a process is mounted, from the texts of /proc/PID/cgroup and
// /proc/PID/mountinfo. `mount` is as far up as the caller sees.
struct CgroupPlace {
  std::string mount;
  std::string path;  // from there: "" or "/a/b"
};
Result<CgroupPlace> find_cgroup2(std::string_view cgroup, std::string_view mountinfo);

// What to do where CgroupTree::create() fails or has not enough controllers.
std::string cgroup_advice(const Result<CgroupTree>& tree);

}  // namespace oqto::sandbox
