// The network of one session: a namespace with nothing but `lo`, and the sockets in it that the
// gateway will hold. A socket belongs to the namespace it was made in, whoever holds it, so the
// gateway accepts directly inside the sandbox and the descriptor says which session it is.
#pragma once
#include <cstdint>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::guard {

struct SessionNetwork {
  Fd netns;
  Fd model;  // TCP, listening on 198.18.0.2:80
  Fd dns;    // UDP, 198.18.0.1:53
  Fd refused;  // shows what the network refuses: for the session's monitor
  Fd dns_tcp;  // TCP, the same: only where other names than the model's are answered
};

Result<Fd> open_own_netns();

// `home` is where the calling thread returns to; if that fails the process ends, since it would go
// on inside a tenant's namespace.
Result<SessionNetwork> make_session_network(const Fd& home, bool filtered);

// Host byte order; the part of the pool that stands for names.
using GateAddress = std::pair<std::uint32_t, std::uint16_t>;
bool is_name_address(std::uint32_t address);

// A TCP listener in that network. The same rule for `home`.
Result<Fd> listen_in_network(const Fd& home, const Fd& netns, GateAddress at);

}  // namespace oqto::guard
