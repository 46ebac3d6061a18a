// For tests: a policy file as the host's or a workspace's, and what it means when it is accepted.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/policy/toml.h"

namespace oqto::sandbox {

using Items = std::vector<std::string>;

inline PolicyContext host_file(bool hosted = false) {
  return {.name = "f",
          .source = PolicySource::host,
          .hosted = hosted,
          .workspace = "/home/u/code/ws",
          .home = "/home/u"};
}
inline PolicyContext workspace_file() {
  PolicyContext context = host_file();
  context.source = PolicySource::workspace;
  return context;
}

inline ParsedPolicy parsed(std::string_view text, const PolicyContext& context,
                           std::string_view profile = "development") {
  auto policy = parse_policy(text, context, profile);
  EXPECT_TRUE(policy.has_value()) << policy.error();
  return policy.value_or(ParsedPolicy{});
}
inline Policy host(std::string_view text, std::string_view profile = "development") {
  return parsed(text, host_file(), profile).policy;
}
inline Policy asked(std::string_view text) {
  return parsed(text, workspace_file()).policy;
}

}  // namespace oqto::sandbox
