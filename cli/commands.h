// What each command does. Gives the exit status: 0 done, 1 refused or failed.
#pragma once
#include "cli/options.h"

namespace oqto::cli {

int run(const Options& options);

}  // namespace oqto::cli
