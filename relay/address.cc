#include "relay/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace oqto::relay {
namespace {

// The address as IPv4 if it is one, mapped into IPv6 or not.
bool as_v4(const sockaddr_storage& address, in_addr& v4) {
  if (address.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof in);
    v4 = in.sin_addr;
    return true;
  }
  sockaddr_in6 in6;
  std::memcpy(&in6, &address, sizeof in6);
  if (address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) return false;
  std::memcpy(&v4, &in6.sin6_addr.s6_addr[12], sizeof v4);
  return true;
}

}  // namespace

Network network_of(const sockaddr_storage& address) {
  Network network;
  in_addr v4;
  if (as_v4(address, v4)) {
    std::memcpy(network.bytes.data(), &v4, sizeof v4);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &address, sizeof in6);
    network.v6 = true;
    std::memcpy(network.bytes.data(), &in6.sin6_addr, network.bytes.size());
  }
  return network;
}

ipc::Text<64> remote_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  in_addr v4;
  std::uint16_t port = 0;  // at the same offset in both families
  std::memcpy(&port, reinterpret_cast<const char*>(&address) + offsetof(sockaddr_in, sin_port),
              sizeof port);
  const std::string suffix = ":" + std::to_string(ntohs(port));
  if (as_v4(address, v4)) {
    (void)::inet_ntop(AF_INET, &v4, text, sizeof text);
    return std::string_view(text + suffix);
  }
  sockaddr_in6 in6;
  std::memcpy(&in6, &address, sizeof in6);
  (void)::inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
  return std::string_view("[" + std::string(text) + "]" + suffix);
}

bool RateLimit::allow(const Network& network, std::uint64_t now_ms) {
  Bucket* bucket = &buckets_.front();
  for (Bucket& candidate : buckets_) {
    if (candidate.refilled_ms != 0 && candidate.network == network) {
      bucket = &candidate;
      break;
    }
    if (candidate.refilled_ms < bucket->refilled_ms) bucket = &candidate;
  }
  if (bucket->refilled_ms == 0 || bucket->network != network) {
    *bucket = {network, now_ms, burst_};
  }
  const double seconds = static_cast<double>(now_ms - bucket->refilled_ms) / 1000;
  bucket->tokens = std::min(burst_, bucket->tokens + seconds * per_second_);
  bucket->refilled_ms = now_ms;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

}  // namespace oqto::relay
