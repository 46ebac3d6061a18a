// The policy of this host, read at the start (and again in reload.cc) by the same sealed parser that reads the tenants'.
#pragma once
#include "base/fd.h"
#include "base/result.h"
#include "guard/config.h"
#include "guard/spawn.h"
#include "sandbox/policy/policy.h"

namespace oqto::guard {

// What each built-in profile grants on this host. No file: what is built in. A file that does not belong to root, or that
// others can write, or that the parser refuses: an error, after having said why.
Result<sandbox::HostPolicies> read_host_policy(const Config& config, const Fd& parser, uid_t uid);

// How the parser is started for this file, whose channel stands before `fds`.
Spawn host_policy_parser(const Config& config, const Fd& parser, uid_t uid, std::vector<const Fd*> fds);

}  // namespace oqto::guard
