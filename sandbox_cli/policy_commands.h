// The commands that only read: check, explain, diff.
#pragma once
#include "sandbox_cli/options.h"

namespace oqto::sandbox_cli {

int check(const Options& options);
int explain(const Options& options);
int diff(const Options& options);

}  // namespace oqto::sandbox_cli
