// DNS messages (RFC 1035): the one question of a query, and the reply to it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace oqto::egress {

constexpr std::uint32_t kDnsTtl = 30;       // seconds
constexpr std::size_t kMaxDnsQuery = 1232;  // bytes; longer ones are dropped
constexpr std::size_t kMaxDnsName = 255;    // RFC 1035 §2.3.4
constexpr std::uint16_t kTypeA = 1;

struct Query {
  std::uint16_t id = 0;
  std::uint8_t flags = 0;  // opcode, and whether recursion is desired
  std::string name;        // lower case, dotted; a dot inside a label became '?'
  std::uint16_t type = 0;
  std::uint16_t dns_class = 0;
  std::vector<std::uint8_t> question;  // as it was sent
  std::uint16_t port = 0;              // that it was sent from
};

enum class Rcode : std::uint8_t {
  no_error = 0,
  server_failure = 2,
  no_such_name = 3,
  not_implemented = 4,
  refused = 5,
};

// Nothing when it is not a well-formed query with one question.
std::optional<Query> parse_query(std::span<const std::uint8_t> message);

// What is wrong with a query whatever its name: an opcode or class that we do not speak.
Rcode check_query(const Query& query);

// `address` (host byte order) is given only with no_error and for a question of type A.
std::vector<std::uint8_t> make_reply(const Query& query, Rcode code,
                                     std::optional<std::uint32_t> address = {});

}  // namespace oqto::egress
