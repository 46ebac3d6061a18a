// oqtoctl reload: what the host makes of its files as they are now, part by part.
#pragma once
#include <vector>

#include "cli/options.h"
#include "ipc/messages.h"

namespace oqto::cli {

// Prints it, also if a part was refused: then the exit status is 1.
int reload(const Options& options);

}  // namespace oqto::cli
