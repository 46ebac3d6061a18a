// Any bytes as a policy file: a value in range or an error, never more permission than asked for.
#include <cstddef>
#include <cstdint>

#include "ipc/channel.h"
#include "sandbox/policy_toml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::sandbox;
  const auto policy = parse_policy({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (policy) {
    CHECK(policy->in_range());
    CHECK(oqto::ipc::decode<PolicyParsed>(oqto::ipc::encode(PolicyParsed{*policy})).has_value());
  } else {
    CHECK(policy.error().starts_with("fuzz:"));
  }
  return 0;
}
