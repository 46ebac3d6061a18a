#include "sandbox/policy/policy.h"

#include <algorithm>

#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using policies::kLimitRows;
using policies::LimitRow;

static_assert(policies::kProfiles == static_cast<std::size_t>(ipc::Profile::kEnd));

// Of each item in canonical_text(): its list's name, its length, separators; and what "prompt:" is
// longer than "auto:".
constexpr std::size_t kItemOverhead = 18;
constexpr std::size_t kAskGrowth = 2;

std::size_t text_bytes(const Policy& policy) {
  std::size_t bytes = 0;
  for (const PolicyListRow& row : kPolicyLists) {
    for (const std::string& item : (policy.*row.list).values) bytes += item.size() + kItemOverhead;
    if (row.list != &Policy::ask) continue;
    for (const std::string& item : policy.ask.values) {
      if (ask_item(item).how == policies::Ask::automatic) bytes += kAskGrowth;
    }
  }
  return bytes;
}

bool is_normal(const PolicyListRow& row, const PolicyList& list) {
  return std::ranges::is_sorted(list.values) &&
         std::ranges::adjacent_find(list.values) == list.values.end() &&
         std::ranges::all_of(list.values, row.is_normal);
}

std::vector<std::string> sorted(std::span<const std::string_view> items) {
  std::vector<std::string> all(items.begin(), items.end());
  std::ranges::sort(all);
  return all;
}

}  // namespace

bool Policy::fits_one_file() const {
  // A meet moves items only from allow_write to allow_read and from ask to deny_read.
  const auto both = [](const PolicyList& a, const PolicyList& b) {
    return a.values.size() + b.values.size() <= kMaxFileItems;
  };
  return both(allow_read, allow_write) && both(ask, deny_read) &&
         std::ranges::all_of(kPolicyLists,
                             [this](const PolicyListRow& row) {
                               return (this->*row.list).values.size() <= kMaxFileItems;
                             }) &&
         text_bytes(*this) <= kMaxFileText;
}

bool Policy::in_range() const {
  return run_own_programs <= 1 && hash_programs <= 1 && ask_timeout_s >= 1 && ask_timeout_s <= kMaxAskTimeout &&
         (delegated_fetch & ~policies::kEveryFetch) == 0 && audit_contents <= 1 &&
         std::ranges::all_of(kLimitRows,
                             [this](const LimitRow& row) {
                               return limits.*row.value >= row.floor &&
                                      limits.*row.value <= row.ceiling;
                             }) &&
         std::ranges::all_of(
             kPolicyLists,
             [this](const PolicyListRow& row) { return is_normal(row, this->*row.list); }) &&
         text_bytes(*this) <= kMaxPolicyText;
}

std::string_view profile_name(ipc::Profile profile) {
  return policies::profile_data(static_cast<std::size_t>(profile)).name;
}

Policy profile_policy(ipc::Profile profile) {
  const policies::ProfileData& data = policies::profile_data(static_cast<std::size_t>(profile));
  Policy policy;
  policy.profile = profile;
  policy.network = data.network;
  policy.unknown_hosts = data.unknown_hosts;
  policy.cgroups = data.cgroups;
  policy.run_own_programs = data.run_own_programs;
  policy.limits = data.limits;
  policy.protect.values = sorted(data.protect);
  policy.env_pass.values = sorted(data.env_pass);
  return policy;
}

HostPolicies built_in_policies() {
  HostPolicies all;
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = profile_policy(static_cast<ipc::Profile>(i));
  return all;
}

Policy loosest_policy() {
  Policy policy;
  policy.profile = ipc::Profile{0};
  policy.network = policies::Network{0};
  policy.unknown_hosts = policies::Ask{0};
  policy.cgroups = policies::Cgroups{0};
  policy.run_own_programs = 1;
  policy.ask_timeout_s = kMaxAskTimeout;
  policy.delegated_fetch = policies::kEveryFetch;
  for (const LimitRow& row : kLimitRows) policy.limits.*row.value = row.ceiling;
  for (const PolicyListRow& row : kPolicyLists) {
    if (!row.top.empty()) (policy.*row.list).values = {std::string(row.top)};
  }
  return policy;
}

Policy with_network(Policy policy, policies::Network network) {
  if (policy.network == network) return policy;
  const bool open = network == policies::Network::open;
  policy.network = network;
  policy.unknown_hosts = open ? policies::Ask::automatic : policies::Ask::deny;
  policy.domains.values.clear();
  if (open) policy.domains.values.emplace_back(kAllNames);
  return policy;
}

std::string canonical_text(const Policy& policy) {
  std::string text = "profile=";
  text += profile_name(policy.profile);
  text += " network=";
  text += policies::network_name(policy.network);
  text += " unknown_hosts=";
  text += policies::ask_name(policy.unknown_hosts);
  text += " cgroups=";
  text += policies::cgroups_name(policy.cgroups);
  text += " run_own_programs=";
  text += policy.run_own_programs != 0 ? "yes" : "no";
  if (policy.hash_programs != 0) text += " hash_programs=yes";
  text += " ask_timeout_s=" + std::to_string(policy.ask_timeout_s);
  text += " delegated_fetch=" + policies::fetch_names(policy.delegated_fetch);
  text += " audit_contents=";
  text += policy.audit_contents != 0 ? "yes" : "no";
  for (const LimitRow& row : kLimitRows) {
    text += ' ' + std::string(row.key) + '=' + std::to_string(policy.limits.*row.value);
  }
  // Lengths first: no item can pass itself off as two.
  for (const PolicyListRow& row : kPolicyLists) {
    for (const std::string& item : (policy.*row.list).values) {
      text += ' ' + std::string(row.name) + '=' + std::to_string(item.size()) + ':' + item;
    }
  }
  return text;
}

}  // namespace oqto::sandbox
