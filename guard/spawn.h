// fork+exec of one of our programs: fixed descriptors, its own uid, nothing else inherited.
#pragma once
#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::guard {

struct Spawn {
  const Fd& program;               // opened when the guard started: no path is resolved again
  std::string name;                // argv[0]
  std::vector<std::string> args = {};
  uid_t uid = 0;                   // and the group of the same number
  gid_t group = 0;                 // … and this one; 0: no other
  std::vector<const Fd*> fds = {};      // become 3, 4, 5 …; nullptr is /dev/null
  const Fd* netns = nullptr;       // enter this network namespace before giving up root
  const Fd* cgroup = nullptr;      // be born in this cgroup v2
  rlim_t max_processes = 0;        // RLIMIT_NPROC of the uid; 0: left alone
  rlim_t max_files = 1024;
  // Opened as the new uid and given as the next descriptor after `fds`, so that a tenant's file is
  // never opened with our rights. Empty input if it does not exist.
  const Fd* open_beneath = nullptr;
  const char* open_path = nullptr;
};

struct Spawned {
  pid_t pid = -1;
  Fd pidfd;
};

// Returns once the program runs: a failure on the way there is this call's error.
Result<Spawned> spawn(const Spawn& wanted);

}  // namespace oqto::guard
