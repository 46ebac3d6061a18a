#include "guard/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "sandbox/loopback.h"
#include "sandbox/refused_packets.h"

namespace oqto::guard {
namespace {

constexpr std::uint32_t kModels = sandbox::kPool + 2;     // 198.18.0.2
constexpr std::uint32_t kFirstName = 0xc6120100;  // 198.18.1.0
constexpr std::uint32_t kLastName = 0xc613fffe;   // 198.19.255.254

Result<SessionNetwork> furnish(bool filtered) {
  TRY(sandbox::raise_loopback());
  TRY(sandbox::route_all_to_lo());
  SessionNetwork network;
  network.refused = TRY(sandbox::open_refused_packets());
  network.model = TRY(sandbox::bound_socket(SOCK_STREAM, kModels, 80));
  network.dns = TRY(sandbox::bound_socket(SOCK_DGRAM, sandbox::kResolver, 53));
  if (filtered) network.dns_tcp = TRY(sandbox::bound_socket(SOCK_STREAM, sandbox::kResolver, 53));
  network.netns = TRY(open_own_netns());
  return network;
}

}  // namespace

Result<Fd> open_own_netns() { return sys::open_file("/proc/self/ns/net", O_RDONLY); }

Result<SessionNetwork> make_session_network(const Fd& home, bool filtered) {
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno("unshare(CLONE_NEWNET)");
  auto network = furnish(filtered);
  CHECK(::setns(home.get(), CLONE_NEWNET) == 0);
  return network;
}

bool is_name_address(std::uint32_t address) { return address >= kFirstName && address <= kLastName; }

Result<Fd> listen_in_network(const Fd& home, const Fd& netns, GateAddress at) {
  if (::setns(netns.get(), CLONE_NEWNET) != 0) return fail_errno("setns");
  auto listener = sandbox::bound_socket(SOCK_STREAM, at.first, at.second);
  CHECK(::setns(home.get(), CLONE_NEWNET) == 0);
  return listener;
}

}  // namespace oqto::guard
