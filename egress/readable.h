// Lets a coroutine wait until a Channel has something to read. The channel keeps its descriptor.
#pragma once
#include <fcntl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/fd.h"

namespace oqto::egress {

namespace asio = boost::asio;

class Readable {
 public:
  Readable(asio::io_context& io, const Fd& fd)
      : descriptor_(io, ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)) {}
  // False: the wait was cancelled.
  asio::awaitable<bool> wait() {
    boost::system::error_code error;
    co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                    asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }
  void cancel() { descriptor_.cancel(); }

 private:
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace oqto::egress
