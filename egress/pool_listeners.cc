#include "egress/pool_listeners.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace oqto::egress {
namespace {
constexpr int kBacklog = 64;
}

asio::awaitable<Result<Fd>> PoolListeners::listen(std::uint32_t address, std::uint16_t port) {
  if (sockets_.empty()) co_return fail(Errc::limit, "there are no more sockets for names");
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(address);
  const int number = sockets_.back().get();
  if (::bind(number, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
    co_return fail_errno("a name's port cannot be bound");  // the socket serves another address
  }
  Fd socket = std::move(sockets_.back());
  sockets_.pop_back();
  if (::listen(socket.get(), kBacklog) != 0)
    co_return fail_errno("a name's port cannot be listened on");
  co_return socket;
}

}  // namespace oqto::egress
