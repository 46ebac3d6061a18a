// Fills Node's compile cache for Pi. The cache is keyed by path, uid and Node version as they are
// inside a session, so it is filled inside the same layout, once, by an unprivileged uid.
#pragma once
#include <string>

#include "sandbox/launch/session_start.h"

namespace oqto::sandbox {

// `cache` is a directory that the caller may write. Pi is started, asked for its state, and ended.
// Of `paths` only `pi` and `init` matter.
std::expected<void, StartFailure> prewarm(const LaunchPaths& paths, const std::string& cache);

}  // namespace oqto::sandbox
