// `oqtoctl audit`: the log's size, and what auditd alone may do to it.
#pragma once
#include "cli/host.h"
#include "cli/options.h"

namespace oqto::cli {

// Does not return where `oqto-audit` takes over.
Outcome<std::string> audit(const Options& options);

// Has the program that signs the log take its directory as it is; does not return unless that cannot start.
Outcome<> adopt(const Options& options);

}  // namespace oqto::cli
