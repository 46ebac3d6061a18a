// Which texts are names of hosts. What is refused here is neither looked up nor shown to anyone, so
// nothing that another parser reads as an address, or cuts short, gets further.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace oqto::egress {

constexpr std::size_t kMaxHostName = 253;  // RFC 1035 §2.3.4, as text without the last dot
constexpr std::size_t kMaxLabel = 63;

// In lower case, without one dot at the end; nothing unless it is labels of a-z, 0-9, '-' and '_'
// (RFC 1123 §2.1, and '_' since hosts have it) and does not end in a number, as addresses do in
// decimal, octal or hexadecimal.
std::optional<std::string> host_name(std::string_view text);

}  // namespace oqto::egress
