// What oqto-init checks before it believes in its surroundings.
#pragma once
#include <string>

#include "base/result.h"
#include "sandbox/launch/launch_plan.h"

namespace oqto::sandbox {

// Every planned path is a mount of its own, of the file that was meant, read-only and empty where
// it must be; no mount can make set-user-id programs or devices work, or exchanges mounts with the
// host; the current directory is the workspace. If not, `where` says which path.
Status verify_mounts(const InitPlan& plan, std::string& where);

// The part of it that reads /proc/self/mountinfo.
Status verify_mount_table(std::string_view mountinfo, std::string& where);

}  // namespace oqto::sandbox
