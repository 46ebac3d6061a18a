#include "egress/rules.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "egress/host_name.h"
#include "sandbox/policy/policy.h"

namespace oqto::egress {
namespace {

bool is_pattern(std::string_view name) {
  return name.find('*') != std::string_view::npos;
}

bool is_known_form(std::string_view name) {
  if (name == "**") return true;
  if (name.starts_with("**.")) name.remove_prefix(3);
  if (name.starts_with("*.")) name.remove_prefix(2);
  return host_name(name) == name;
}

void add_port(Ports& ports, std::uint16_t port) {
  const auto at = std::ranges::lower_bound(ports, port);
  if (at == ports.end() || *at != port) ports.insert(at, port);
}

}  // namespace

bool Rules::Rule::opens(std::string_view host, std::uint16_t at) const {
  if (port == 0 && std::ranges::find(kDefaultPorts, at) == std::end(kDefaultPorts)) return false;
  return sandbox::domain_allows(text, host, at);
}

Result<Rules> Rules::parse(const std::vector<std::string>& domains) {
  Rules rules;
  for (const std::string& text : domains) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) return fail(Errc::invalid, "a rule for a name has no port");
    Rule rule{text, text.substr(0, colon), 0};
    if (!is_known_form(rule.name)) return fail(Errc::invalid, "a rule is for no name of a host");
    const char* const first = text.data() + colon + 1;
    const char* const last = text.data() + text.size();
    if (std::string_view(first, last) != "*") {
      const auto [end, error] = std::from_chars(first, last, rule.port);
      if (error != std::errc() || end != last || rule.port == 0) {
        return fail(Errc::invalid, "a rule's port must be 1 to 65535, or *");
      }
    }
    rules.rules_.push_back(std::move(rule));
  }
  std::ranges::stable_partition(rules.rules_, [](const Rule& r) { return !is_pattern(r.name); });
  std::map<std::string, bool> seen;
  for (const Rule& rule : rules.rules_) {
    if (is_pattern(rule.name) || !seen.emplace(rule.name, true).second) continue;
    rules.exact_.push_back({rule.name, rules.ports_of(rule.name)});
  }
  std::ranges::sort(rules.exact_, {}, &Exact::name);
  return rules;
}

Ports Rules::ports_of(std::string_view name) const {
  Ports ports;
  for (const Rule& rule : rules_) {
    if (rule.port != 0) {
      if (rule.opens(name, rule.port)) add_port(ports, rule.port);
      continue;
    }
    for (const std::uint16_t port : kDefaultPorts) {
      if (rule.opens(name, port)) add_port(ports, port);
    }
  }
  return ports;
}

std::string_view Rules::rule_for(std::string_view name, std::uint16_t port) const {
  const auto found =
      std::ranges::find_if(rules_, [&](const Rule& rule) { return rule.opens(name, port); });
  return found == rules_.end() ? std::string_view() : std::string_view(found->text);
}

}  // namespace oqto::egress
