// The stage: the child between the caller and bubblewrap. It has user, mount, time and perhaps
// network namespaces of its own, in which it builds the sandbox's tree by descriptor below a
// private tmpfs. Bubblewrap mounts that tree; no path that anybody else can change reaches it.
#pragma once
#include <sys/types.h>

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/layout.h"

namespace oqto::sandbox {

// Descriptors that the stage gets, borrowed; everything else closes before anything is done.
struct StageFds {
  int errors;        // its stderr and bubblewrap's: one line if it fails
  int init_channel;  // becomes kInitLaunchFd
  int control;       // becomes kInitControlFd
  int info;          // bubblewrap's report
  int network;       // a socket, for the descriptors of Network::filtered; or -1
  int stubs;         // one byte arrives when the stubs are in place; end of file: they are not
};

// Forks, into the cgroup (a directory) if it is not -1. The child ends with the calling thread.
Result<pid_t> start_stage(const World& world, const Layout& layout, const StageFds& fds,
                          int cgroup);

}  // namespace oqto::sandbox
