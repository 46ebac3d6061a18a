// The stand-alone tool's listeners: sockets that were made in the sandbox's network namespace
// before it was closed off, and are bound when a name is asked for.
#pragma once
#include <vector>

#include "egress/listeners.h"

namespace oqto::egress {

class PoolListeners final : public ListenerSource {
 public:
  // Unbound IPv4 TCP sockets. This process must have the effective uid that owns the namespace's
  // user namespace: then it may bind ports below 1024 there, without any capability.
  explicit PoolListeners(std::vector<Fd> sockets) : sockets_(std::move(sockets)) {}
  asio::awaitable<Result<Fd>> listen(std::uint32_t address, std::uint16_t port) override;

 private:
  std::vector<Fd> sockets_;
};

}  // namespace oqto::egress
