// The commands that start something.
#pragma once
#include "sandbox_cli/options.h"

namespace oqto::sandbox_cli {

int run(Options options);  // also `shell`
int learn(Options options);

}  // namespace oqto::sandbox_cli
