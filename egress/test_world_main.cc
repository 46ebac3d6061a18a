// For tests: runs one program in a filtered network, as the stand-alone tool does it but without
// the rest of the sandbox. Its own network is the host's.
//   egress_test_world [--rule NAME:PORT]... [OPTION OF oqto-egress]... -- PROGRAM [ARGUMENT]...
// Prints the records to standard error when OQTO_TEST_RECORDS is set.
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "egress/test_rig.h"

int main(int argc, char** argv) {
  using namespace oqto::egress::test;
  Egress::Options options;
  options.arguments.clear();
  int at = 1;
  for (; at + 1 < argc && std::strcmp(argv[at], "--") != 0; at += 2) {
    if (std::strcmp(argv[at], "--rule") == 0) {
      options.domains.emplace_back(argv[at + 1]);
    } else {
      options.arguments.emplace_back(argv[at]);
      options.arguments.emplace_back(argv[at + 1]);
    }
  }
  if (at + 1 >= argc || std::strcmp(argv[at], "--") != 0) {
    std::fputs("usage: egress_test_world [--rule NAME:PORT]... -- PROGRAM [ARGUMENT]...\n", stderr);
    return 2;
  }
  Egress egress(options);
  const int status = egress.inner.run({argv + at + 1, argv + argc});
  if (std::getenv("OQTO_TEST_RECORDS") != nullptr) std::fputs(egress.records().c_str(), stderr);
  if (!egress.tool || status < 0) return 125;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
