// Where a session's listening sockets come from. They belong to the session's network namespace,
// whoever holds them.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::egress {

namespace asio = boost::asio;

class ListenerSource {
 public:
  virtual ~ListenerSource() = default;
  // A TCP socket that listens on this address of the pool (host byte order). Error::sys is the
  // kernel's word, where it was that.
  virtual asio::awaitable<Result<Fd>> listen(std::uint32_t address, std::uint16_t port) = 0;
};

}  // namespace oqto::egress
