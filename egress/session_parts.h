// The parts of a Session that its source files share.
#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "egress/session.h"

namespace oqto::egress {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

struct Session::Listener {
  Listener(Shared& all, std::uint32_t whose, std::uint32_t on, std::uint16_t at)
      : descriptors(all.descriptors),
        owner(whose),
        granted(descriptors->take(whose, 1)),
        acceptor(all.io),
        resume(all.io),
        address(on),
        port(at) {}
  ~Listener() {
    if (granted) descriptors->give_back(owner, 1);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const std::shared_ptr<Descriptors> descriptors;
  const std::uint32_t owner;
  const bool granted;
  asio::ip::tcp::acceptor acceptor;
  Signal resume;
  const std::uint32_t address;
  const std::uint16_t port;
  Time paused_until{};
};

struct Session::Opening {
  explicit Opening(asio::io_context& io) : changed(io) {}
  Signal changed;
  Time deadline = Clock::now() + std::chrono::seconds(10);
};

struct Session::Question {
  Question(asio::io_context& io, std::uint64_t its_number, Time until)
      : answered(io), number(its_number), deadline(until) {}
  Signal answered;
  const std::uint64_t number;
  const Time deadline;
  bool done = false;
  bool allowed_once = false;
};

}  // namespace oqto::egress
