// Any bytes: the gate must answer, keep to its bounds, and be independent of how bytes arrive. What
// it accepts must be unambiguous: no transfer coding, one Host, no line end but CR LF.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/result.h"
#include "relay/http_gate.h"
#include "relay/route.h"

using namespace oqto::relay;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const GateResult result = parse_head(bytes);
  if (result.kind == GateResult::Kind::incomplete) {
    CHECK(size < kMaxHeadBytes);
    return 0;
  }
  if (result.kind == GateResult::Kind::refused) {
    CHECK(result.status >= 400 && result.status < 600);
    return 0;
  }
  CHECK(result.head_bytes <= size && result.head_bytes <= kMaxHeadBytes);
  const std::string_view head = bytes.substr(0, result.head_bytes);
  CHECK(head.ends_with("\r\n\r\n") && head.find("\r\n\r\n") == head.size() - 4);
  for (std::size_t i = 0; i < head.size(); ++i) {
    CHECK(head[i] != '\0' && (head[i] != '\n' || head[i - 1] == '\r'));
    CHECK(head[i] != '\r' || head[i + 1] == '\n');
  }
  CHECK(result.request.content_length <= kMaxBodyBytes);
  CHECK(parse_head(head).kind == GateResult::Kind::accepted);
  CHECK(parse_head(head.substr(0, head.size() - 1)).kind == GateResult::Kind::incomplete);
  static const Site site{"https://h", "h"};
  (void)route(result.request, std::span(&site, 1));
  return 0;
}
