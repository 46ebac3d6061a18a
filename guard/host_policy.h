// The policy of this host, read once at the start by the same sealed parser that reads the tenants'.
#pragma once
#include "base/fd.h"
#include "base/result.h"
#include "guard/config.h"
#include "sandbox/policy/policy.h"

namespace oqto::guard {

// What each built-in profile grants on this host. No file: what is built in. A file that does not belong to root, or that
// others can write, or that the parser refuses: an error, after having said why.
Result<sandbox::HostPolicies> read_host_policy(const Config& config, const Fd& parser, uid_t uid);

}  // namespace oqto::guard
