#include "sandbox_cli/policy_view.h"

#include <functional>

namespace oqto::sandbox_cli {
namespace {

using sandbox::Policy;

// How one aspect is read.
struct Reading {
  std::string key;
  std::function<std::string(const Policy&)> value;  // empty for lists
  sandbox::PolicyList Policy::*list = nullptr;
};

std::vector<Reading> rows() {
  std::vector<Reading> all;
  const auto scalar = [&](const char* key, auto member, auto show) {
    all.push_back({key, [=](const Policy& p) { return std::string(show(p.*member)); }, nullptr});
  };
  scalar("profile", &Policy::profile, [](auto v) { return sandbox::profile_name(v); });
  scalar("network.mode", &Policy::network, [](auto v) { return policies::network_name(v); });
  scalar("network.unknown", &Policy::unknown_hosts, [](auto v) { return policies::ask_name(v); });
  scalar("limits.cgroups", &Policy::cgroups, [](auto v) { return policies::cgroups_name(v); });
  scalar("run_own_programs", &Policy::run_own_programs,
         [](auto v) { return v ? "true" : "false"; });
  scalar("audit.hash_programs", &Policy::hash_programs,
         [](auto v) { return v ? "true" : "false"; });
  scalar("guard.timeout_secs", &Policy::ask_timeout_s, [](auto v) { return std::to_string(v); });
  scalar("network.delegated_fetch", &Policy::delegated_fetch, [](auto v) { return policies::fetch_names(v); });
  scalar("audit.contents", &Policy::audit_contents, [](auto v) { return v ? "true" : "false"; });
  for (const policies::LimitRow& row : policies::kLimitRows) {
    const auto member = row.value;
    all.push_back({"limits." + std::string(row.key),
                   [=](const Policy& p) { return std::to_string(p.limits.*member); }, nullptr});
  }
  const std::pair<const char*, sandbox::PolicyList Policy::*> lists[] = {
      {"allow_read", &Policy::allow_read},
      {"allow_write", &Policy::allow_write},
      {"network.allow_domains", &Policy::domains},
      {"env.pass", &Policy::env_pass},
      {"env.set", &Policy::env_set},
      {"guard.paths", &Policy::ask},
      {"deny_read", &Policy::deny_read},
      {"deny_write", &Policy::deny_write},
      {"protect", &Policy::protect}};
  for (const auto& [key, member] : lists) {
    all.push_back({key, nullptr, member});
  }
  return all;
}

std::vector<std::string> values_of(const Reading& row, const Policy& policy) {
  if (row.list != nullptr) return (policy.*row.list).values;
  return {row.value(policy)};
}

}  // namespace

std::vector<Aspect> aspects(const Policy& policy) {
  std::vector<Aspect> all;
  for (const Reading& row : rows()) {
    all.push_back({row.key, row.list != nullptr, values_of(row, policy)});
  }
  return all;
}

Json policy_json(const Policy& policy) {
  Json json = Json::object();
  for (const Aspect& aspect : aspects(policy)) {
    json.set(aspect.key, aspect.list ? Json(aspect.values) : Json(aspect.values[0]));
  }
  return json;
}

std::string policy_text(const Policy& policy) {
  std::vector<Row> rows = {{"KEY", "VALUE"}};
  for (const Aspect& aspect : aspects(policy)) {
    if (aspect.values.empty()) rows.push_back({aspect.key, "-"});
    for (std::size_t i = 0; i < aspect.values.size(); ++i) {
      rows.push_back({i == 0 ? aspect.key : "", aspect.values[i]});
    }
  }
  return table(rows);
}

}  // namespace oqto::sandbox_cli
