// Connections of a session that its network refuses. Nothing but `lo` is in its namespace, so a
// connect to anything else would fail inside the kernel and leave no trace. Here every address is
// made local: such packets then pass over `lo`, where nobody receives them but a socket that shows
// who wanted what. They cannot leave: there is nowhere to go.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

// In the calling thread's network namespace, which must be a session's own, with its pool in place:
// `ip route add local default dev lo`, of IPv4 and, where the kernel has it, IPv6.
Status route_all_to_lo();

// A packet socket of that namespace whose filter, which nobody can take off again, lets pass:
// answers of the kernel to connections that nobody accepts at another address than the loopback's,
// datagrams to such addresses other than questions to the resolver, and the resolver's answers.
Result<Fd> open_refused_packets();

struct RefusedPacket {
  bool udp = false;
  std::string address;        // that was wanted
  std::uint16_t port = 0;
  std::uint16_t from = 0;     // the socket's own port
  bool in_pool = false;       // an address that stands for a name
};
struct ResolverAnswer {
  std::string name, address;
};
// What such a packet says; nothing of one that says nothing. Packets are made of what programs inside
// choose: any bytes.
std::optional<RefusedPacket> parse_refused(std::string_view packet);
std::optional<ResolverAnswer> parse_answer(std::string_view packet);

}  // namespace oqto::sandbox
