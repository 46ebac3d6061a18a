// What the kernel tells of a process by its descriptor (ioctl PIDFD_GET_INFO, Linux 6.13), and how an
// older one says it.
#pragma once
#include <optional>

#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

constexpr unsigned long kPidfdGetInfo = 0xc040ff0bUL;  // _IOWR(0xff, 11, 64 bytes)

// The number of its parent, as we number processes; -1 if it cannot be found out.
pid_t parent_of(const Tracees& tracees, const Fd& pidfd, pid_t process);

// As waitpid tells it. Nothing: the process still runs, or the kernel does not know any more.
std::optional<int> exit_status_of(const Fd& pidfd);
// The same while nobody has waited for the process.
std::optional<int> exit_status_in_proc(const Tracees& tracees, pid_t process);

}  // namespace oqto::sandbox
