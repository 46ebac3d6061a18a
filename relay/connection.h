// One connection process, after fork and before its end: TLS, requests, and at last the pump.
// It holds four descriptors and can get one more, from the guard.
#pragma once
#include <unistd.h>

#include <span>

#include "relay/asset_pack.h"
#include "relay/route.h"
#include "relay/tls.h"

namespace oqto::relay {

constexpr int kTcpFd = 0;       // the client; non-blocking
constexpr int kControlFd = 1;   // Channel to the guard; when it closes, this process ends at once
constexpr int kAccountsFd = 2;  // Channel to accounts
constexpr int kProgressFd = 3;  // closed when the guard has let this connection through
constexpr int kConnectionFds = 4;

struct Service {  // made by the listener before it forks; read-only
  const TlsContext& tls;
  const AssetPack& assets;
  std::span<const Site> sites;
};

// The kernel closes what is open; nothing here is worth a destructor.
[[noreturn]] inline void end() {
  ::_exit(0);
}

[[noreturn]] void serve_connection(const Service& service);

}  // namespace oqto::relay
