// Which names a session may reach, and at which ports: sandbox::Policy::domains, in the order in
// which they are decided.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace oqto::egress {

using Ports = std::vector<std::uint16_t>;  // sorted, without duplicates

// What the user's approval of a name opens, and a rule with the port "*": there is a listener for
// each port, so it cannot be all.
constexpr std::uint16_t kDefaultPorts[] = {80, 443};

class Rules {
 public:
  struct Exact {
    std::string name;
    Ports ports;
  };

  Rules() = default;
  // "NAME:PORT" each, as sandbox/policy/policy.h has it. One that is malformed refuses all.
  static Result<Rules> parse(const std::vector<std::string>& domains);

  // Names that are written out, sorted. They have their address and their listeners from the start.
  [[nodiscard]] const std::vector<Exact>& exact() const { return exact_; }
  // Empty: the name may not be reached. `name` is what host_name() gave.
  [[nodiscard]] Ports ports_of(std::string_view name) const;
  // The rule that opens this port of this name, for the record; the one written out if there is
  // one.
  [[nodiscard]] std::string_view rule_for(std::string_view name, std::uint16_t port) const;

 private:
  struct Rule {
    std::string text;
    std::string name;
    std::uint16_t port = 0;  // 0: kDefaultPorts
    [[nodiscard]] bool opens(std::string_view host, std::uint16_t at) const;
  };
  std::vector<Rule> rules_;  // exact names first
  std::vector<Exact> exact_;
};

}  // namespace oqto::egress
