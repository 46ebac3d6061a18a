// oqtoctl: what the operator of a host sees and does. Talks to the guard as root.
#include <cstdio>
#include <cstdlib>

#include "cli/commands.h"

int main(int argc, char** argv) {
  using namespace oqto::cli;
  const auto options = parse_options({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)},
                                     std::getenv("OQTO_STATE"));
  if (!options) {
    (void)std::fprintf(stderr, "oqtoctl: %s\n", options.error().c_str());
    return 2;
  }
  if (options->help) {
    (void)std::fputs(help(options->command).c_str(), stdout);
    return 0;
  }
  return run(*options);
}
