// What a client says first. A hello that is incomplete says how many bytes it needs, and more than
// there are; the name in a complete one stands in its bytes.
#include <algorithm>
#include <string_view>

#include "base/result.h"
#include "egress/client_hello.h"
#include "egress/http_head.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::egress;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ClientHello hello = read_client_hello({data, size});
  CHECK(hello.state != ClientHello::State::more ||
        (hello.need > size && hello.need <= kMaxClientHello));
  CHECK(hello.server_name.size() <= size);
  (void)asks_for_second_hello({data, size});
  const HttpHead head = read_http_head(text);
  CHECK(head.state != HttpHead::State::more || size < kMaxHttpHead);
  CHECK(head.host.size() <= size);
  return 0;
}
