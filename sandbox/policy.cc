#include "sandbox/policy.h"

#include <algorithm>

namespace oqto::sandbox {

using policies::kLimitRows;
using policies::LimitRow;

static_assert(policies::kProfiles == static_cast<std::size_t>(ipc::Profile::kEnd));

bool Policy::in_range() const {
  return run_own_programs <= 1 && std::ranges::all_of(kLimitRows, [this](const LimitRow& row) {
           return limits.*row.value >= row.floor && limits.*row.value <= row.ceiling;
         });
}

std::string_view profile_name(ipc::Profile profile) {
  return policies::profile_data(static_cast<std::size_t>(profile)).name;
}

Policy profile_policy(ipc::Profile profile) {
  const policies::ProfileData& data = policies::profile_data(static_cast<std::size_t>(profile));
  return {.profile = profile,
          .network = data.network,
          .run_own_programs = data.run_own_programs,
          .limits = data.limits};
}

Policy loosest_policy() {
  Policy policy{.profile = ipc::Profile{0},
                .network = policies::Network{0},
                .run_own_programs = 1,
                .limits = {}};
  for (const LimitRow& row : kLimitRows) policy.limits.*row.value = row.ceiling;
  return policy;
}

Policy meet(const Policy& a, const Policy& b) {
  Policy both{.profile = std::max(a.profile, b.profile),
              .network = std::max(a.network, b.network),
              .run_own_programs = std::min(a.run_own_programs, b.run_own_programs),
              .limits = {}};
  for (const LimitRow& row : kLimitRows) {
    both.limits.*row.value = std::min(a.limits.*row.value, b.limits.*row.value);
  }
  return both;
}

bool at_least_as_strict(const Policy& a, const Policy& b) {
  return meet(a, b) == a;
}

std::string canonical_text(const Policy& policy) {
  std::string text = "profile=";
  text += profile_name(policy.profile);
  text += " network=";
  text += policies::network_name(policy.network);
  text += " run_own_programs=";
  text += policy.run_own_programs != 0 ? "yes" : "no";
  for (const LimitRow& row : kLimitRows) {
    text += ' ';
    text += row.key;
    text += '=';
    text += std::to_string(policy.limits.*row.value);
  }
  return text;
}

}  // namespace oqto::sandbox
