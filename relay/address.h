// Where a connection comes from, and how often: the unit that limits are counted by.
#pragma once
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <span>

#include "ipc/messages.h"

namespace oqto::relay {

// One IPv4 address, or one IPv6 /64: what a single attacker has at least.
struct Network {
  std::array<std::uint8_t, 8> bytes{};
  bool v6 = false;
  bool operator==(const Network&) const = default;
};

Network network_of(const sockaddr_storage& address);
ipc::Text<64> remote_text(const sockaddr_storage& address);  // 192.0.2.1:443, [2001:db8::1]:443

// Token buckets in a table of fixed size. When it is full the network that was seen longest ago is
// forgotten: being forgotten only ever gives a full bucket back.
struct Bucket {
  Network network;
  std::uint64_t refilled_ms = 0;  // 0: free
  double tokens = 0;
};

class RateLimit {
 public:
  RateLimit(std::span<Bucket> buckets, double per_second, double burst)
      : buckets_(buckets), per_second_(per_second), burst_(burst) {}
  bool allow(const Network& network, std::uint64_t now_ms);

 private:
  std::span<Bucket> buckets_;
  double per_second_;
  double burst_;
};

}  // namespace oqto::relay
