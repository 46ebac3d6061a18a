// Every message between our processes; the parts are one screen or two per pair of peers. To add one:
// struct, tag, handler, golden bytes, fuzz seed (docs/architecture.md). All binaries come from one
// build: a peer of another version is refused, not adapted to.
#pragma once
#include "ipc/auth_messages.h"
#include "ipc/ctl_messages.h"
#include "ipc/session_messages.h"
#include "ipc/tags.h"
#include "ipc/tenant_messages.h"

namespace oqto::ipc {

// --- any process and the guard ---------------------------------------------------------------

struct Ready {  // the first message of every process: sealed, and serving
  OQTO_MESSAGE(ready, false);
  std::uint32_t version = kProtocolVersion;
  bool fields(auto& io) { return io(version); }
};

struct LaunchFailed {
  OQTO_MESSAGE(launch_failed, false);
  Text<512> why;
  bool fields(auto& io) { return io(why); }
};

// Replaces a channel whose other end died and was started again, or adds a peer.
enum class WireRole : std::uint8_t {
  audit,    // this process's channel to auditd
  peer,     // what kPeerFd was at start
  kEnd
};
struct Wire {
  OQTO_MESSAGE(wire, true);
  WireRole role{};
  bool fields(auto& io) { return io(role); }
};

// guard -> accounts or hstry: could you write now? Answered after having written something.
// A connection process -> guard: could the host serve now? `why` of that answer is empty.
struct Probe {
  OQTO_MESSAGE(probe, false);
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(request); }
};
struct Probed {
  OQTO_MESSAGE(probed, false);
  std::uint64_t request = 0;
  std::uint8_t ok = 0;
  Text<200> why;
  bool fields(auto& io) { return io(request, ok, why); }
};

}  // namespace oqto::ipc
