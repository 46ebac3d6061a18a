// The seccomp programs of a session, compiled by filter_gen at build time: a session neither links
// libseccomp nor spends the milliseconds that it takes to compile a filter.
#pragma once
#include <linux/filter.h>

#include <span>

namespace oqto::sandbox {

using Filter = std::span<const sock_filter>;

// Loaded first, with a listener: execve and execveat are notified, dangerous arguments refused.
Filter argument_filter();
// Loaded second: the list of calls. Kills the process on calls of another ABI.
Filter call_filter(bool run_own_programs);
// oqto-launch, once it has nothing to do but to monitor.
Filter launcher_filter();

}  // namespace oqto::sandbox
