// What the denials of a policy, and git, lay over the mounts of a sandbox.
#pragma once
#include <expected>

#include "sandbox/world/git_paths.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {

// Adds covers, stubs and questions to a layout whose mounts are complete. A denied path is covered
// wherever a mount shows it, under whatever name. Denials win over grants, whatever lies within
// what.
std::expected<void, StartFailure> cover(const World& world, const GitView& git, Layout& layout);

}  // namespace oqto::sandbox
