// Pi's configuration directory in the agent's home, which the agent may have left in any state.
#pragma once
#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

// Makes .pi/agent and the files that will be covered by read-only mounts real directories and real
// files beneath `home`; what stands in the way is renamed aside, never followed, never deleted.
Status prepare_agent_dir(const Fd& home);

}  // namespace oqto::sandbox
