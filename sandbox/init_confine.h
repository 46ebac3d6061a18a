// What oqto-init does to itself, and so to everything it will ever start. The order matters: see
// main(). Errors carry what failed; the launcher reports it.
#pragma once
#include "base/fd.h"
#include "base/result.h"
#include "sandbox/launch_plan.h"

namespace oqto::sandbox {

// The directories that the launcher meant are the ones mounted, and Pi's configuration is
// read-only.
Status verify_mounts(const InitPlan& plan);

// Landlock: what bubblewrap's mounts grant, once more, by a mechanism of its own; /proc read-only,
// so that nobody writes /proc/1/mem. Returns the ABI. Nothing can be mounted afterwards.
Result<int> restrict_files(bool run_own_programs);

// The first filter. The descriptor answers its notifications: it must leave this process before the
// agent runs, or the agent could approve itself.
Result<Fd> load_argument_filter();

// The second filter. No further one can be loaded: seccomp(2) is not on its list.
Status load_call_filter(bool run_own_programs);

}  // namespace oqto::sandbox
