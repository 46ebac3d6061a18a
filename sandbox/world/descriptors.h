// Descriptors passed over a socket between processes of one build, many at a time.
#pragma once
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxSent = 250;  // the kernel's SCM_MAX_FD is 253

Status send_descriptors(const Fd& socket, const std::vector<Fd>& descriptors);

// Close-on-exec. Errc::unavailable: the other end is gone; Errc::limit: nothing is there yet.
Result<std::vector<Fd>> receive_descriptors(const Fd& socket);

}  // namespace oqto::sandbox
