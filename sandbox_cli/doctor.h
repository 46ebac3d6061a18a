// What this host can enforce, what not, and how to mend it.
#pragma once
#include <string>
#include <vector>

#include "sandbox_cli/options.h"
#include "sandbox_cli/user.h"

namespace oqto::sandbox_cli {

enum class State : std::uint8_t {
  ok,
  weaker,   // sandboxes work, and something named is missing
  missing,  // no sandbox starts here
};
struct Finding {
  std::string name;  // "user namespaces"
  State state{};
  std::string found;
  std::string fix;  // empty if there is nothing to mend
};

std::vector<Finding> examine_host();

// Starts a real sandbox and attacks from inside. Every attack is first shown to work outside.
std::vector<Finding> self_test(const User& user);

int doctor(const Options& options);

}  // namespace oqto::sandbox_cli
