#include "egress/dns.h"

namespace oqto::egress {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::uint16_t kClassIn = 1;

std::uint16_t u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
void put16(std::vector<std::uint8_t>& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

// False: it is malformed.
bool read_question(std::span<const std::uint8_t> message, Query& query) {
  std::size_t at = kHeader;
  for (;;) {
    if (at >= message.size()) return false;
    const std::size_t length = message[at++];
    if (length == 0) break;
    // A compression pointer has no place in the only question.
    if (length > 63 || at + length > message.size() || at + length - kHeader > kMaxDnsName) {
      return false;
    }
    if (!query.name.empty()) query.name += '.';
    for (const std::uint8_t byte : message.subspan(at, length)) {
      const bool upper = byte >= 'A' && byte <= 'Z';
      // A dot inside a label would read as two labels.
      query.name += byte == '.' ? '?' : static_cast<char>(upper ? byte + 32 : byte);
    }
    at += length;
  }
  if (at + 4 > message.size()) return false;
  query.type = u16(message, at);
  query.dns_class = u16(message, at + 2);
  const auto question = message.subspan(kHeader, at + 4 - kHeader);
  query.question.assign(question.begin(), question.end());
  return true;
}

}  // namespace

std::optional<Query> parse_query(std::span<const std::uint8_t> message) {
  if (message.size() < kHeader || message.size() > kMaxDnsQuery) return {};
  const bool is_response = (message[2] & 0x80) != 0;
  const bool one_question = u16(message, 4) == 1 && u16(message, 6) == 0 && u16(message, 8) == 0;
  const unsigned additional = u16(message, 10);  // one: EDNS, which we do not speak back
  if (is_response || !one_question || additional > 1) return {};
  Query query;
  query.id = u16(message, 0);
  query.flags = message[2] & 0x79;
  if (!read_question(message, query)) return {};
  if (additional == 0 && kHeader + query.question.size() != message.size()) return {};
  return query;
}

Rcode check_query(const Query& query) {
  if (query.dns_class != kClassIn) return Rcode::refused;
  return (query.flags & 0x78) == 0 ? Rcode::no_error : Rcode::not_implemented;
}

std::vector<std::uint8_t> make_reply(const Query& query, Rcode code,
                                     std::optional<std::uint32_t> address) {
  std::vector<std::uint8_t> reply;
  put16(reply, query.id);
  constexpr std::uint8_t kResponseAuthoritative = 0x84;
  reply.push_back(static_cast<std::uint8_t>(kResponseAuthoritative | query.flags));
  // Recursion is available: do not ask others.
  reply.push_back(static_cast<std::uint8_t>(0x80 | static_cast<std::uint8_t>(code)));
  put16(reply, 1);
  put16(reply, address ? 1 : 0);
  put16(reply, 0);
  put16(reply, 0);
  reply.insert(reply.end(), query.question.begin(), query.question.end());
  if (address) {
    put16(reply, 0xC000 | kHeader);  // the question's name
    put16(reply, kTypeA);
    put16(reply, kClassIn);
    put16(reply, kDnsTtl >> 16);
    put16(reply, kDnsTtl & 0xffff);
    put16(reply, sizeof(std::uint32_t));
    put16(reply, *address >> 16);
    put16(reply, *address & 0xffff);
  }
  return reply;
}

}  // namespace oqto::egress
