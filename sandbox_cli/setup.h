// Everything that is decided before a sandbox is started: who, where, what policy, what
// environment.
#pragma once
#include "sandbox/world/world.h"
#include "sandbox_cli/policy_files.h"

namespace oqto::sandbox_cli {

struct Setup {
  User user;
  Directory workspace;
  Directory home;  // the private one
  EffectivePolicy policy;
  sandbox::World world;
  sandbox::Namespaces namespaces;  // being made beside us
  std::vector<std::string> notices;  // what the user should know, and is not wrong
};

// Nothing is left running when this fails; the only thing made is the private home.
Outcome<Setup> prepare(const Options& options);

// One more reading of the above without making anything: for explain.
Outcome<EffectivePolicy> look_up_policy(const Options& options);

// The variables that `policy` lets through of `environment`, and those that it sets.
std::vector<std::string> policy_environment(const sandbox::Policy& policy,
                                            const char* const* environment);

}  // namespace oqto::sandbox_cli
