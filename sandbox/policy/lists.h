// The lists of a policy as one table: checking, meeting, printing and writing files all walk it.
#pragma once
#include <string_view>

#include "sandbox/policy/items.h"
#include "sandbox/policy/policy.h"

namespace oqto::sandbox {

// `rule` covers all that `other` does, which may be a pattern too.
bool domain_contains(std::string_view rule, std::string_view other);
bool variable_contains(std::string_view rule, std::string_view other);
bool setting_contains(std::string_view rule, std::string_view other);

constexpr std::string_view kAllNames = "**:*";

struct PolicyListRow {
  std::string_view name;
  PolicyList Policy::*list;
  bool (*is_normal)(std::string_view item);
  bool (*covers)(std::string_view rule, std::string_view item);  // of `ask`: none, see asked_for()
  std::string_view top;  // of a list that grants: the item that covers all
};
constexpr auto kPolicyLists = std::to_array<PolicyListRow>({
    {"allow_read", &Policy::allow_read, is_policy_path, path_contains, "/"},
    {"allow_write", &Policy::allow_write, is_policy_path, path_contains, "/"},
    {"domains", &Policy::domains, is_domain_rule, domain_contains, kAllNames},
    {"env_pass", &Policy::env_pass, is_variable_pattern, variable_contains, "*"},
    {"env_set", &Policy::env_set, is_setting, setting_contains, "*"},
    {"ask", &Policy::ask, is_ask_item, nullptr, ""},
    {"deny_read", &Policy::deny_read, is_denied_path, path_contains, ""},
    {"deny_write", &Policy::deny_write, is_denied_path, path_contains, ""},
    {"protect", &Policy::protect, is_protected_path, path_contains, ""},
});

// What `ask` says of a path: the nearest item. Ask::deny: no item covers it.
policies::Ask asked_for(const PolicyList& ask, std::string_view path);

// Sorted, and without what another item covers.
void normalise(Policy& policy);

}  // namespace oqto::sandbox
