// The stage: the child between the caller and PID 1. It has namespaces of its own, in which it
// builds the sandbox's tree by descriptor below a private tmpfs; no path that anybody else can
// change reaches it. Its namespaces but those of users and processes become the sandbox's. It stays
// outside, as the warden of what is covered (warden.h), and ends with PID 1.
#pragma once
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {

// Descriptors that the stage gets, borrowed; everything else closes before anything is done.
struct StageFds {
  int errors;        // its stderr: one line if it fails
  int init_channel;  // becomes kInitLaunchFd
  int control;       // becomes kInitControlFd
  int report;   // a socket: PID 1's pidfd; with Network::filtered its sockets, as another message
  int janitor;  // see janitor.h; or -1
  int namespaces;  // Namespaces::process() and ready(); or -1 for both
  int ready;
};

// Forks, into the cgroup (a directory) if it is not -1. The child ends with the calling thread.
Result<pid_t> start_stage(const World& world, const Layout& layout, const StageFds& fds,
                          int cgroup);

}  // namespace oqto::sandbox
