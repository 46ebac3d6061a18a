#include "egress/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <optional>

#include "base/fd.h"

namespace oqto::egress {
namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

asio::ip::address as_asio(const Address& address) {
  if (address.v6) return asio::ip::address_v6(address.bytes);
  asio::ip::address_v4::bytes_type bytes;
  std::copy_n(address.bytes.begin(), bytes.size(), bytes.begin());
  return asio::ip::address_v4(bytes);
}

// Alternates between the families, beginning with the resolver's first choice.
std::vector<Address> interleaved(const std::vector<Address>& addresses) {
  std::vector<Address> first, second, all;
  for (const Address& address : addresses) {
    (address.v6 == addresses.front().v6 ? first : second).push_back(address);
  }
  for (std::size_t i = 0; i < addresses.size() && all.size() < kMaxDialled; ++i) {
    if (i < first.size()) all.push_back(first[i]);
    if (i < second.size() && all.size() < kMaxDialled) all.push_back(second[i]);
  }
  return all;
}

// Shared with the attempts' handlers, which may come after everybody has gone.
struct Race {
  explicit Race(const asio::any_io_executor& on) : executor(on), changed(on) {}

  void start(const Address& address, std::uint16_t port, const std::shared_ptr<Race>& self) {
    const std::size_t number = sockets.size();
    tcp::socket& socket = *sockets.emplace_back(std::make_unique<tcp::socket>(executor));
    ++pending;
    socket.async_connect({as_asio(address), port}, [self, number](const error_code& result) {
      --self->pending;
      if (result) {
        self->error = result;
      } else if (!self->winner && !self->over) {
        self->winner = number;
      }
      self->changed.cancel();
    });
  }
  void end() {
    over = true;
    error_code ignored;
    for (const auto& socket : sockets) socket->close(ignored);
    changed.cancel();
  }

  asio::any_io_executor executor;
  asio::steady_timer changed;
  std::vector<std::unique_ptr<tcp::socket>> sockets;
  std::optional<std::size_t> winner;
  std::size_t pending = 0;
  error_code error = asio::error::timed_out;
  bool over = false;
};

}  // namespace

bool is_own_address(const Address& address) {
  // Connecting a UDP socket sends nothing, but chooses the source as for a real connection: to an
  // address of the host's own, that is this address.
  const Fd probe =
      Fd::adopt(::socket(address.v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return false;
  sockaddr_storage there{}, here{};
  socklen_t size = 0;
  if (address.v6) {
    auto& to = reinterpret_cast<sockaddr_in6&>(there);
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(9);
    std::memcpy(&to.sin6_addr, address.bytes.data(), 16);
    size = sizeof to;
  } else {
    auto& to = reinterpret_cast<sockaddr_in&>(there);
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    std::memcpy(&to.sin_addr, address.bytes.data(), 4);
    size = sizeof to;
  }
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&there), size) != 0) return false;
  if (::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&here), &size) != 0) return false;
  if (address.v6) {
    return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(here).sin6_addr, address.bytes.data(),
                       16) == 0;
  }
  return std::memcmp(&reinterpret_cast<const sockaddr_in&>(here).sin_addr, address.bytes.data(),
                     4) == 0;
}

asio::awaitable<Result<Dialled>> dial(std::vector<Address> addresses, std::uint16_t port,
                                      DialControl& control) {
  const auto executor = co_await asio::this_coro::executor;
  const auto race = std::make_shared<Race>(executor);
  control.stop_ = [race] { race->end(); };
  const auto deadline = std::chrono::steady_clock::now() + kDialTime;
  const std::vector<Address> order = interleaved(addresses);
  std::size_t next = 0;
  while (!race->winner && !race->over) {
    const auto now = std::chrono::steady_clock::now();
    const bool more = next < order.size();
    if (now >= deadline || (!more && race->pending == 0)) break;
    if (more) race->start(order[next++], port, race);
    race->changed.expires_at(next < order.size() ? std::min(deadline, now + kNextDialAfter)
                                                 : deadline);
    error_code ignored;
    co_await race->changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  control.stop_ = {};
  if (race->winner && !race->over) {
    tcp::socket socket = std::move(*race->sockets[*race->winner]);
    race->end();
    co_return Dialled{std::move(socket), order[*race->winner]};
  }
  race->end();
  co_return std::unexpected(
      Error{Errc::unavailable, "the host cannot be reached", race->error.value()});
}

}  // namespace oqto::egress
