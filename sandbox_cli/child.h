// Runs a program and collects what it says: for doctor alone.
#pragma once
#include <string>
#include <vector>

#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {

struct Ran {
  int status = -1;     // as a shell counts: 128+N for signal N; -1: it could not be started
  std::string output;  // standard output and error
};
// argv[0] is a path. `environment` replaces ours. Ends with SIGKILL after `timeout_ms`.
Ran run_and_read(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                 int timeout_ms);

}  // namespace oqto::sandbox_cli
