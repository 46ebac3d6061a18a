// The guard's and auditd's channels.
#pragma once
#include "mux/peer.h"
#include "runner/reactor.h"

namespace oqto::runner {

using mux::Peer;

}  // namespace oqto::runner
