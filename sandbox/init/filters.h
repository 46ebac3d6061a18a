// The seccomp filter of a session, loaded by oqto-init after everything else.
#pragma once
#include "base/fd.h"
#include "base/result.h"
#include "sandbox/monitor/filters.h"

namespace oqto::sandbox {

// The descriptor answers the filter's notifications: it must leave this process before the agent
// runs, or the agent could approve itself. No further filter can be loaded: seccomp(2) is refused.
Result<Fd> load_session_filter(FilterKind kind);

}  // namespace oqto::sandbox
