// Any bytes as a policy file: a value in range or an error, never more permission than asked for.
#include <cstddef>
#include <cstdint>

#include "base/encoding.h"
#include "ipc/channel.h"
#include "sandbox/policy/toml.h"

namespace {

using namespace oqto::sandbox;

void parse(std::string_view text, const PolicyContext& context, std::string_view profile) {
  const auto parsed = parse_policy(text, context, profile);
  if (!parsed) {
    CHECK(parsed.error().starts_with("fuzz:") && parsed.error().size() <= 480);
    CHECK(oqto::is_valid_utf8(parsed.error()));
    return;
  }
  const Policy& policy = parsed->policy;
  CHECK(policy.in_range());
  const auto again = oqto::ipc::decode<PolicyParsed>(oqto::ipc::encode(PolicyParsed{policy}));
  CHECK(again.has_value() && again->asked == policy);
  CHECK(meet(policy, policy) == policy);
  for (const Policy& host : built_in_policies()) {
    const Policy both = meet(host, policy);
    CHECK(both.in_range() && at_least_as_strict(both, host) && at_least_as_strict(both, policy));
  }
  for (const PolicyOrigin& origin : parsed->origins) CHECK(origin.line >= 1 && !origin.key.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  PolicyContext context;
  context.name = "fuzz";
  parse(text, context, "");
  context.source = PolicySource::host;
  parse(text, context, "development");
  context.hosted = false;
  context.workspace = "/home/user/code/project";
  context.home = "/home/user";
  parse(text, context, "");
  return 0;
}
