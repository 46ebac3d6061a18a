// A reply, if there is one, echoes the question and is never larger than the query plus one record.
#include <algorithm>

#include "base/result.h"
#include "gateway/dns.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span query(data, size);
  const auto reply = oqto::gateway::answer_dns(query);
  if (!reply) return 0;
  CHECK(reply->size() <= size + 16);
  CHECK((*reply)[0] == query[0] && (*reply)[1] == query[1] && ((*reply)[2] & 0x80) != 0);
  return 0;
}
