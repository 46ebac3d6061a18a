// The host in the head of a client's first HTTP/1 request (RFC 9112). Stricter than servers are:
// what two of them could read in two ways is malformed here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace oqto::egress {

constexpr std::size_t kMaxHttpHead = 16 * 1024;  // bytes

struct HttpHead {
  enum class State : std::uint8_t { more, complete, malformed };
  State state = State::malformed;
  std::string host;  // host_name() of it; empty: it names none, or two that differ
};

HttpHead read_http_head(std::string_view bytes);

}  // namespace oqto::egress
