// IP addresses, and which of them nobody inside a sandbox may reach, whatever name they come under.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::egress {

struct Address {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};  // network order; of IPv4 the first four
  bool operator==(const Address&) const = default;
  [[nodiscard]] std::string text() const;
};

struct Prefix {
  Address base;
  unsigned bits = 0;
  [[nodiscard]] bool contains(const Address& address) const;
};

// Strict: four decimal numbers, or RFC 4291 text. A Prefix may be without "/bits"; bits behind the
// prefix must be 0.
std::optional<Address> parse_address(std::string_view text);
std::optional<Prefix> parse_prefix(std::string_view text);

// Why an address is never dialled; empty: it may be. `allowed` is the operator's list of
// exceptions.
std::string_view why_forbidden(const Address& address, const std::vector<Prefix>& allowed);

}  // namespace oqto::egress
