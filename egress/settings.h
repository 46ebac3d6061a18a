// What the operator says about the network of all sessions.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "egress/address.h"

namespace oqto::egress {

using FixedNames = std::map<std::string, std::vector<Address>, std::less<>>;

struct Settings {
  std::vector<Prefix> allow_private;  // exceptions from address.h: never from a policy
  FixedNames resolve;  // names that are not looked up; their addresses are checked too
};
constexpr std::size_t kMaxAllowPrivate = 64;
constexpr std::size_t kMaxFixedNames = 256;

}  // namespace oqto::egress
