// What keeps a host from being ready, or will, each with what to do next.
#pragma once
#include <string>
#include <vector>

#include "cli/host.h"

namespace oqto::cli {

struct Trouble {
  bool is_warning = false;  // it serves all the same
  std::string part, what, fix;
};
// What the guard says, and what its rows lack. First what keeps it from being ready.
std::vector<Trouble> troubles(const HostStatus& status);

bool is_ready(const HostStatus& status);
std::string readiness_text(const HostStatus& status);

}  // namespace oqto::cli
