// Fills Node's compile cache for Pi. The cache is keyed by path, uid and Node version as they are
// inside a session, so it is filled inside the same layout, once, by an unprivileged uid.
#pragma once
#include <string>

#include "base/result.h"

namespace oqto::sandbox {

// `cache` is a directory that the caller may write. Pi is started, asked for its state, and ended.
Status prewarm(const std::string& pi, const std::string& cache);

}  // namespace oqto::sandbox
