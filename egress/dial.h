// Dials exactly the addresses that were checked, the first that answers wins (RFC 8305).
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "egress/address.h"

namespace oqto::egress {

namespace asio = boost::asio;

constexpr std::size_t kMaxDialled = 8;  // addresses of one name
constexpr auto kNextDialAfter = std::chrono::milliseconds(250);
constexpr auto kDialTime = std::chrono::seconds(15);

// Whether the address is one of this host's own: then the host would be talking to itself.
bool is_own_address(const Address& address);

struct Dialled {
  asio::ip::tcp::socket socket;
  Address address;
};

// Lets the owner of a dial end it.
class DialControl {
 public:
  void stop() {
    if (stop_) stop_();
  }

 private:
  friend asio::awaitable<Result<Dialled>> dial(std::vector<Address>, std::uint16_t, DialControl&);
  std::function<void()> stop_;
};

// Error::sys says why (ECONNREFUSED …). `control` must live until this has returned.
asio::awaitable<Result<Dialled>> dial(std::vector<Address> addresses, std::uint16_t port,
                                      DialControl& control);

}  // namespace oqto::egress
