// Landlock on oqto-init, and so on everything that it will ever start.
#pragma once
#include "base/result.h"
#include "sandbox/launch/launch_plan.h"

namespace oqto::sandbox {

// What the mounts grant, once more, by a mechanism of its own; /proc read-only, so that nobody
// writes /proc/1/mem. Returns the ABI. Nothing can be mounted afterwards.
Result<int> restrict_files(const InitPlan& plan);

}  // namespace oqto::sandbox
