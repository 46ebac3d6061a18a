#include "egress/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace oqto::egress {
namespace {

struct Row {
  Prefix range;
  std::string_view why;
};

constexpr Prefix v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d, unsigned bits) {
  return {{false, {a, b, c, d}}, bits};
}
constexpr Prefix v6(std::uint16_t first, std::uint16_t second, unsigned bits) {
  return {{true,
           {static_cast<std::uint8_t>(first >> 8), static_cast<std::uint8_t>(first),
            static_cast<std::uint8_t>(second >> 8), static_cast<std::uint8_t>(second)}},
          bits};
}

constexpr std::string_view kPrivate = "a private address";
constexpr std::string_view kLinkLocal = "a link-local address";
constexpr std::string_view kSpecial = "an address for special use";

// RFC 6890 and the IANA registries. Of IPv6 only what is global unicast (2000::/3) is dialled at
// all.
constexpr Row kForbidden[] = {
    {v4(0, 0, 0, 0, 8), "an address of this host"},
    {v4(10, 0, 0, 0, 8), kPrivate},
    {v4(100, 64, 0, 0, 10), kPrivate},  // carrier-grade NAT
    {v4(127, 0, 0, 0, 8), "a loopback address"},
    {v4(168, 63, 129, 16, 32), "a cloud's metadata service"},
    {v4(169, 254, 0, 0, 16), kLinkLocal},  // and the clouds' metadata services
    {v4(172, 16, 0, 0, 12), kPrivate},
    {v4(192, 0, 0, 0, 24), kSpecial},
    {v4(192, 0, 2, 0, 24), kSpecial},
    {v4(192, 88, 99, 0, 24), kSpecial},
    {v4(192, 168, 0, 0, 16), kPrivate},
    {v4(198, 18, 0, 0, 15), kSpecial},  // our own pool inside
    {v4(198, 51, 100, 0, 24), kSpecial},
    {v4(203, 0, 113, 0, 24), kSpecial},
    {v4(224, 0, 0, 0, 3), kSpecial},  // multicast, reserved, broadcast
    {v6(0xfc00, 0, 7), kPrivate},
    {v6(0xfe80, 0, 10), kLinkLocal},
    {v6(0xff00, 0, 8), kSpecial},
    {v6(0x2001, 0, 23), kSpecial},  // Teredo, ORCHID, benchmarking
    {v6(0x2001, 0x0db8, 32), kSpecial},
    {v6(0x2002, 0, 16), kSpecial},  // 6to4: carries an IPv4 address
    {v6(0x3fff, 0, 20), kSpecial},
};
constexpr Prefix kGlobal = v6(0x2000, 0, 3);
constexpr Prefix kNat64 = v6(0x0064, 0xff9b, 96);

}  // namespace

std::string Address::text() const {
  char out[INET6_ADDRSTRLEN] = {};
  (void)::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), out, sizeof out);
  return out;
}

bool Prefix::contains(const Address& address) const {
  if (address.v6 != base.v6) return false;
  for (unsigned bit = 0; bit < bits; ++bit) {
    const std::uint8_t mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    if (((address.bytes[bit / 8] ^ base.bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

std::optional<Address> parse_address(std::string_view text) {
  const std::string ended(text);
  if (ended.find('\0') != std::string::npos) return {};
  Address address;
  address.v6 = ended.find(':') != std::string::npos;
  if (::inet_pton(address.v6 ? AF_INET6 : AF_INET, ended.c_str(), address.bytes.data()) != 1) {
    return {};
  }
  return address;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto base = parse_address(text.substr(0, slash));
  if (!base) return {};
  const unsigned most = base->v6 ? 128 : 32;
  Prefix prefix{*base, most};
  if (slash != std::string_view::npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), prefix.bits);
    if (error != std::errc() || end != number.data() + number.size() || prefix.bits > most) {
      return {};
    }
  }
  for (unsigned bit = prefix.bits; bit < most; ++bit) {
    if ((base->bytes[bit / 8] & (0x80U >> (bit % 8))) != 0) return {};
  }
  return prefix;
}

std::string_view why_forbidden(const Address& address, const std::vector<Prefix>& allowed) {
  const auto covers = [&](const Prefix& prefix) { return prefix.contains(address); };
  const bool excepted = std::ranges::any_of(allowed, covers);
  if (kNat64.contains(address)) {  // what counts is the IPv4 address that it leads to
    if (!excepted) return kSpecial;
    Address inner;
    std::copy(address.bytes.begin() + 12, address.bytes.end(), inner.bytes.begin());
    return why_forbidden(inner, allowed);
  }
  if (excepted) return {};
  for (const Row& row : kForbidden) {
    if (row.range.contains(address)) return row.why;
  }
  if (address.v6 && !kGlobal.contains(address)) return kSpecial;
  return {};
}

}  // namespace oqto::egress
