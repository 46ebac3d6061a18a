// The server's end of one WebSocket over an inherited stream (RFC 6455, subprotocol host.mux.v1, no
// extensions). The bytes begin with the HTTP upgrade request that the relay rebuilt.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "mux/reactor.h"

namespace oqto::mux {

class WebSocket {
 public:
  struct Owner {
    virtual ~Owner() = default;
    virtual void on_open() = 0;
    virtual void on_text(std::string text) = 0;
    virtual void on_binary() = 0;
    virtual void on_written() = 0;  // one message of the queue has left
    virtual void on_closed(const char* why) = 0;  // once; nothing follows
  };

  static constexpr std::size_t kMaxInbound = 12 * 1024 * 1024;  // prompts with images

  // A message of more than `max_inbound` bytes ends the connection.
  WebSocket(Reactor& reactor, Fd stream, Owner& owner, std::size_t max_inbound = kMaxInbound);
  ~WebSocket();  // closes at once

  void send(std::shared_ptr<const std::string> text);
  [[nodiscard]] std::size_t queued_bytes() const;
  void pause(bool on);  // stops reading: the peer then waits
  // Sends what is queued, then a close frame.
  void close();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oqto::mux
