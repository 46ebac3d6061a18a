// A reply echoes the question, and is never larger than the query plus one record.
#include "base/result.h"
#include "egress/dns.h"
#include "egress/host_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::egress;
  const std::span message(data, size);
  const auto query = parse_query(message);
  if (!query) return 0;
  const auto reply = make_reply(*query, check_query(*query), 0xc6120002);
  CHECK(reply.size() <= size + 16);
  CHECK(reply[0] == message[0] && reply[1] == message[1] && (reply[2] & 0x80) != 0);
  if (const auto name = host_name(query->name)) CHECK(name->size() <= kMaxHostName);
  return 0;
}
