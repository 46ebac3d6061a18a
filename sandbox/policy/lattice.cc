// The meet: the one place where two policies become one. The guard decides by it.
#include <algorithm>
#include <optional>

#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using policies::Ask;
using policies::kLimitRows;
using policies::LimitRow;
using policies::Network;
using Items = std::vector<std::string>;
using Covers = bool (*)(std::string_view rule, std::string_view item);

struct Domain {
  std::string_view name, port;
};
Domain split_domain(std::string_view rule) {
  const std::size_t colon = rule.rfind(':');
  if (colon == std::string_view::npos) return {rule, {}};
  return {rule.substr(0, colon), rule.substr(colon + 1)};
}

// `name` may itself be a pattern. "**" covers all names, "**.x" one or more labels before x, "*.x"
// one: of two patterns that have a name in common, one covers the other.
bool name_contains(std::string_view rule, std::string_view name) {
  if (rule == "**" || rule == name) return true;
  if (rule.starts_with("**.")) {
    const std::string_view suffix = rule.substr(2);  // ".x"
    return name.size() > suffix.size() && name.ends_with(suffix);
  }
  if (!rule.starts_with("*.") || name.starts_with("**")) return false;
  const std::string_view suffix = rule.substr(1);
  return name.size() > suffix.size() && name.ends_with(suffix) &&
         name.substr(0, name.size() - suffix.size()).find('.') == std::string_view::npos;
}

void sort_unique(Items& items) {
  std::ranges::sort(items);
  const auto surplus = std::ranges::unique(items);
  items.erase(surplus.begin(), surplus.end());
}

bool covered_by(const Items& rules, const std::string& item, Covers covers) {
  return std::ranges::any_of(
      rules, [&](const std::string& rule) { return rule != item && covers(rule, item); });
}

void drop_covered(Items& items, Covers covers) {
  sort_unique(items);
  Items kept;
  for (const std::string& item : items) {
    if (!covered_by(items, item, covers)) kept.push_back(item);
  }
  items = std::move(kept);
}

// Every item of one that an item of the other covers. Two items that have anything in common are
// one within the other, so nothing else is in both, and no more items than in both together remain.
Items intersection(const Items& a, const Items& b, Covers covers) {
  Items both;
  const auto add = [&](const Items& from, const Items& other) {
    for (const std::string& item : from) {
      if (std::ranges::any_of(other, [&](const auto& rule) { return covers(rule, item); })) {
        both.push_back(item);
      }
    }
  };
  add(a, b);
  add(b, a);
  drop_covered(both, covers);
  return both;
}

Items united(Items a, const Items& b) {
  a.insert(a.end(), b.begin(), b.end());
  drop_covered(a, path_contains);
  return a;
}

Items readable(const Policy& policy) {
  return united(policy.allow_read.values, policy.allow_write.values);
}

// What is writable is readable. The top stays: it says that nothing was asked for.
void drop_writable(Policy& policy) {
  std::erase_if(policy.allow_read.values, [&](const std::string& path) {
    return path != "/" && std::ranges::any_of(policy.allow_write.values, [&](const auto& root) {
             return path_contains(root, path);
           });
  });
}

// Without names of a mode that has no use for them.
Items domains_of(const Policy& policy) {
  if (policy.network == Network::open) return {std::string(kAllNames)};
  return policy.network == Network::isolated ? Items{} : policy.domains.values;
}
Ask unknown_hosts_of(const Policy& policy) {
  if (policy.network == Network::open) return Ask::automatic;
  return policy.network == Network::isolated ? Ask::deny : policy.unknown_hosts;
}

// From freely to not at all. A policy lets see the workspace, and what it grants.
enum class Sight : std::uint8_t { free, automatic, prompt, hidden };
Sight sight(const Policy& policy, std::string_view path) {
  const Ask asked = asked_for(policy.ask, path);
  if (asked != Ask::deny) return asked == Ask::prompt ? Sight::prompt : Sight::automatic;
  const auto covers = [&](const std::string& root) { return path_contains(root, path); };
  const bool granted = path_contains(".", path) ||
                       std::ranges::any_of(policy.allow_read.values, covers) ||
                       std::ranges::any_of(policy.allow_write.values, covers);
  return granted ? Sight::free : Sight::hidden;
}

// What only one of both lets see by asking is denied, not merely left out: it may be part of what
// both grant.
void meet_asks(const Policy& a, const Policy& b, Policy& both) {
  Items paths;
  for (const Policy* policy : {&a, &b}) {
    for (const std::string& item : policy->ask.values) paths.emplace_back(ask_item(item).path);
  }
  sort_unique(paths);
  for (const std::string& path : paths) {
    const Sight stricter = std::max(sight(a, path), sight(b, path));
    if (stricter == Sight::hidden) {
      both.deny_read.values.push_back(path);
    } else {
      const Ask how = stricter == Sight::prompt ? Ask::prompt : Ask::automatic;
      both.ask.values.push_back(ask_text(how, path));
    }
  }
}

// The nearest item's word; of two on one path the stricter. `above`: of those above the path only.
Ask nearest_ask(const Items& items, std::string_view path, bool above) {
  Ask how = Ask::deny;
  std::size_t nearest = 0;
  for (const std::string& item : items) {
    const AskItem each = ask_item(item);
    if (!path_contains(each.path, path) || each.path.size() < nearest) continue;
    if (above && each.path == path) continue;
    how = each.path.size() == nearest && how == Ask::prompt ? how : each.how;
    nearest = each.path.size();
  }
  return how;
}

// Without items that a denial outweighs or that say what the next one above them says.
void drop_idle_asks(Policy& policy) {
  Items& items = policy.ask.values;
  sort_unique(items);
  const Items all = items;
  std::erase_if(items, [&](const std::string& item) {
    const AskItem own = ask_item(item);
    const auto denied = [&](const std::string& root) { return path_contains(root, own.path); };
    return std::ranges::any_of(policy.deny_read.values, denied) ||
           nearest_ask(all, own.path, true) == own.how;
  });
}

}  // namespace

bool path_contains(std::string_view root, std::string_view path) {
  if (root == "/" || root == path) return true;
  return path.size() > root.size() && path.starts_with(root) && path[root.size()] == '/';
}

bool domain_contains(std::string_view rule, std::string_view other) {
  const Domain a = split_domain(rule), b = split_domain(other);
  return (a.port == "*" || a.port == b.port) && name_contains(a.name, b.name);
}

bool domain_allows(std::string_view rule, std::string_view name, std::uint16_t port) {
  return domain_contains(rule, std::string(name) + ':' + std::to_string(port));
}

bool variable_contains(std::string_view rule, std::string_view other) {
  if (rule == other) return true;
  return rule.ends_with('*') && other.starts_with(rule.substr(0, rule.size() - 1));
}

bool setting_contains(std::string_view rule, std::string_view other) {
  return rule == "*" || rule == other;
}

Ask asked_for(const PolicyList& ask, std::string_view path) {
  return nearest_ask(ask.values, path, false);
}

void normalise(Policy& policy) {
  for (const PolicyListRow& row : kPolicyLists) {
    if (row.covers != nullptr) drop_covered((policy.*row.list).values, row.covers);
  }
  drop_writable(policy);
  drop_idle_asks(policy);
}

Policy meet(const Policy& a, const Policy& b) {
  Policy both;
  both.profile = std::max(a.profile, b.profile);
  both.network = std::max(a.network, b.network);
  both.cgroups = std::max(a.cgroups, b.cgroups);
  both.run_own_programs = std::min(a.run_own_programs, b.run_own_programs);
  both.hash_programs = std::max(a.hash_programs, b.hash_programs);
  both.ask_timeout_s = std::min(a.ask_timeout_s, b.ask_timeout_s);
  both.delegated_fetch = a.delegated_fetch & b.delegated_fetch;
  both.audit_contents = std::max(a.audit_contents, b.audit_contents);
  for (const LimitRow& row : kLimitRows) {
    both.limits.*row.value = std::min(a.limits.*row.value, b.limits.*row.value);
  }
  both.unknown_hosts = std::max(unknown_hosts_of(a), unknown_hosts_of(b));
  both.domains.values = intersection(domains_of(a), domains_of(b), domain_contains);
  both.env_pass.values = intersection(a.env_pass.values, b.env_pass.values, variable_contains);
  both.env_set.values = intersection(a.env_set.values, b.env_set.values, setting_contains);
  both.allow_read.values = intersection(readable(a), readable(b), path_contains);
  both.allow_write.values = intersection(a.allow_write.values, b.allow_write.values, path_contains);
  for (PolicyList Policy::*denials : {&Policy::deny_read, &Policy::deny_write, &Policy::protect}) {
    (both.*denials).values = united((a.*denials).values, (b.*denials).values);
  }
  meet_asks(a, b, both);
  normalise(both);
  return both;
}

Policy effective(const HostPolicies& host, ipc::Profile wanted, const Policy& asked) {
  const Policy& first = host[static_cast<std::size_t>(wanted)];
  const Policy met = meet(first, asked);
  if (asked.profile <= wanted) return met;
  return meet(host[static_cast<std::size_t>(asked.profile)], met);
}

bool at_least_as_strict(const Policy& a, const Policy& b) {
  return meet(a, b) == meet(a, a);
}

}  // namespace oqto::sandbox
