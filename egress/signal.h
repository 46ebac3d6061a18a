// One side waits, the other says that something has changed.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace oqto::egress {

namespace asio = boost::asio;

class Signal {
 public:
  explicit Signal(asio::io_context& io) : timer_(io) {}
  // Until notify() or the time. Several may wait, each for the same time: keep one Signal for each
  // thing that is waited for.
  asio::awaitable<void> wait_until(std::chrono::steady_clock::time_point time) {
    boost::system::error_code ignored;
    if (timer_.expiry() != time) timer_.expires_at(time);
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  void notify() { timer_.cancel(); }

 private:
  asio::steady_timer timer_;
};

}  // namespace oqto::egress
