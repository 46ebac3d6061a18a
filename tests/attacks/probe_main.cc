#include <unistd.h>

#include <array>

#include "tests/attacks/probe.h"

namespace probe {
namespace {
const char* own_path = "";
}

const char* self() { return own_path; }

void hold() {
  std::fflush(stdout);
  (void)!::write(1, "holding\n", 8);
  for (;;) ::pause();
}

}  // namespace probe

int main(int argc, char** argv) {
  using namespace probe;
  own_path = argv[0];
  const std::string verb = argc > 1 ? argv[1] : "";
  Words arguments;
  for (int i = 2; i < argc; ++i) arguments.emplace_back(argv[i]);
  constexpr std::size_t kMostArguments = 10;
  if (arguments.size() < kMostArguments) arguments.resize(kMostArguments);
  for (const std::span<const Attack> family :
       {process_attacks(), file_attacks(), kernel_attacks(), network_attacks(), terminal_attacks(),
        resource_attacks(), descriptor_attacks(), race_attacks()}) {
    for (const Attack& attack : family) {
      if (verb == attack.name) return attack.run(arguments);
    }
  }
  std::printf("no such attack: %s\n", verb.c_str());
  return 2;
}
