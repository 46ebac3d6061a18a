// An ipc::Channel on the reactor: messages come one by one, the end of the peer once.
#pragma once
#include <functional>

#include "ipc/channel.h"
#include "mux/reactor.h"

namespace oqto::mux {

class Peer {
 public:
  using OnMessage = std::function<void(ipc::Received&)>;
  using OnGone = std::function<void(const Error&)>;

  Peer(Reactor& reactor, OnMessage on_message, OnGone on_gone)
      : reactor_(reactor), on_message_(std::move(on_message)), on_gone_(std::move(on_gone)) {}

  // Replaces the channel that was there. A Peer without one refuses to send.
  void attach(ipc::Channel channel);
  void detach();
  explicit operator bool() const { return static_cast<bool>(channel_); }

  template <class Message>
  Status send(const Message& message) {
    if (!channel_) return fail(Errc::unavailable, "the peer is gone");
    return channel_.send(message);
  }
  template <class Message>
  Status send(const Message& message, const Fd& with) {
    if (!channel_) return fail(Errc::unavailable, "the peer is gone");
    return channel_.send(message, with);
  }

 private:
  void drain();

  Reactor& reactor_;
  OnMessage on_message_;
  OnGone on_gone_;
  ipc::Channel channel_;
  Watch watch_;
  std::uint64_t generation_ = 0;  // of the channel: a handler may replace or drop it
};

}  // namespace oqto::mux
