#include "gateway/dns.h"

#include <string>

namespace oqto::gateway {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::uint16_t kTypeA = 1;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint8_t kNoError = 0;
constexpr std::uint8_t kNotImplemented = 4;
constexpr std::uint8_t kNxDomain = 3;
constexpr std::uint8_t kRefused = 5;

std::uint16_t u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
void put16(std::vector<std::uint8_t>& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

struct Question {
  std::string name;     // lower case, dotted
  std::size_t end = 0;  // offset behind type and class
  std::uint16_t type = 0;
  std::uint16_t dns_class = 0;
};

std::optional<Question> read_question(std::span<const std::uint8_t> query) {
  Question question;
  std::size_t at = kHeader;
  for (;;) {
    if (at >= query.size()) return {};
    const std::size_t length = query[at++];
    if (length == 0) break;
    // A compression pointer has no place in the only question.
    if (length > 63 || at + length > query.size() || at + length - kHeader > kMaxDnsName) return {};
    if (!question.name.empty()) question.name += '.';
    for (const std::uint8_t byte : query.subspan(at, length)) {
      const bool upper = byte >= 'A' && byte <= 'Z';
      // A dot inside a label would read as two labels.
      question.name += byte == '.' ? '?' : static_cast<char>(upper ? byte + 32 : byte);
    }
    at += length;
  }
  if (at + 4 > query.size()) return {};
  question.type = u16(query, at);
  question.dns_class = u16(query, at + 2);
  question.end = at + 4;
  return question;
}

}  // namespace

std::optional<std::vector<std::uint8_t>> answer_dns(std::span<const std::uint8_t> query) {
  if (query.size() < kHeader || query.size() > kMaxDnsQuery) return {};
  const bool is_response = (query[2] & 0x80) != 0;
  const unsigned opcode = (query[2] >> 3) & 0x0f;
  const bool one_question = u16(query, 4) == 1 && u16(query, 6) == 0 && u16(query, 8) == 0;
  const unsigned additional = u16(query, 10);  // one: EDNS, which we do not speak back
  if (is_response || !one_question || additional > 1) return {};
  const auto question = read_question(query);
  if (!question || (additional == 0 && question->end != query.size())) return {};

  const bool ours = question->name == kModelName;
  std::uint8_t code = ours ? kNoError : kNxDomain;
  if (opcode != 0) code = kNotImplemented;
  if (question->dns_class != kClassIn) code = kRefused;
  const bool with_address = code == kNoError && question->type == kTypeA;

  std::vector<std::uint8_t> reply;
  put16(reply, u16(query, 0));
  constexpr std::uint8_t kResponseAuthoritative = 0x84;
  reply.push_back(static_cast<std::uint8_t>(kResponseAuthoritative | (query[2] & 0x79)));
  reply.push_back(
      static_cast<std::uint8_t>(0x80 | code));  // recursion available: do not ask others
  put16(reply, 1);
  put16(reply, with_address ? 1 : 0);
  put16(reply, 0);
  put16(reply, 0);
  reply.insert(reply.end(), query.begin() + kHeader,
               query.begin() + static_cast<std::ptrdiff_t>(question->end));
  if (with_address) {
    put16(reply, 0xC000 | kHeader);  // the question's name
    put16(reply, kTypeA);
    put16(reply, kClassIn);
    put16(reply, kDnsTtl >> 16);
    put16(reply, kDnsTtl & 0xffff);
    put16(reply, kModelAddress.size());
    reply.insert(reply.end(), kModelAddress.begin(), kModelAddress.end());
  }
  return reply;
}

}  // namespace oqto::gateway
