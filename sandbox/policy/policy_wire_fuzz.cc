// Any bytes as two policies from a parser that is not to be trusted: what decodes, encodes back to
// the same bytes, and no meet of it leaves the range or grows beyond what can be sent.
#include <cstddef>
#include <cstdint>
#include <span>

#include "ipc/channel.h"
#include "sandbox/policy/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto;
  using namespace oqto::sandbox;
  if (size < 2) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(2);
  const std::size_t half = std::min(bytes.size(), data[0] + std::size_t{256} * data[1]);
  const std::span<const std::byte> parts[] = {bytes.first(half), bytes.subspan(half)};
  HostPolicies host = built_in_policies();
  Policy asked = loosest_policy();
  for (const auto& part : parts) {
    const auto message = ipc::decode<PolicyParsed>(part);
    if (!message) continue;
    const auto again = ipc::encode(*message);
    CHECK(std::ranges::equal(again, part));
    host[0] = host[1] = asked;
    asked = message->asked;
  }
  for (const auto wanted : {ipc::Profile::minimal, ipc::Profile::strict}) {
    const Policy got = effective(host, wanted, asked);
    CHECK(got.in_range());
    CHECK(at_least_as_strict(got, host[static_cast<std::size_t>(wanted)]));
    CHECK(ipc::encode(PolicyParsed{got}).size() <= ipc::kMaxDatagram);
    CHECK(meet(got, got) == got);
  }
  return 0;
}
