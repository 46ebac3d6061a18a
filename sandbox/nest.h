// The last step into a sandbox without bubblewrap: the stage does itself what is left to do. Its
// mount namespace stays the sandbox's, so it belongs to a user namespace that nothing inside is in:
// no capability that a program could ever gain there reaches a mount.
#pragma once
#include <expected>

#include "sandbox/world.h"

namespace oqto::sandbox {

// In the stage, whose tree is at kStageRoot. Forks oqto-init as PID 1 and then waits for its end;
// writes its number to `info` as bubblewrap does. Returns only if it fails.
std::expected<void, StartFailure> enter_nest(const World& world, int info);

}  // namespace oqto::sandbox
