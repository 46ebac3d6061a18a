// A policy as rows, for showing and comparing.
#pragma once
#include "sandbox/policy/policy.h"
#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {

struct Aspect {
  std::string key;  // as in a policy file: "network", "limits.tmp_bytes", "deny_read" ...
  bool list = false;
  std::vector<std::string> values;  // one if it is not a list
};
std::vector<Aspect> aspects(const sandbox::Policy& policy);
Json policy_json(const sandbox::Policy& policy);
std::string policy_text(const sandbox::Policy& policy);

}  // namespace oqto::sandbox_cli
