// The network of one session: a namespace with nothing but `lo`, and two sockets in it that the
// gateway will hold. A socket belongs to the namespace it was made in, whoever holds it, so the
// gateway accepts directly inside the sandbox and the descriptor says which session it is.
#pragma once
#include "base/fd.h"
#include "base/result.h"

namespace oqto::guard {

struct SessionNetwork {
  Fd netns;
  Fd model;  // TCP, listening on 198.18.0.2:80
  Fd dns;    // UDP, 198.18.0.1:53
};

Result<Fd> open_own_netns();

// `home` is where the calling thread returns to; if that fails the process ends, since it would go
// on inside a tenant's namespace.
Result<SessionNetwork> make_session_network(const Fd& home);

}  // namespace oqto::guard
