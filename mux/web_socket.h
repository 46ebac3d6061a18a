// The server's end of one WebSocket over an inherited stream (RFC 6455, subprotocol host.mux.v1, no
// extensions). The bytes begin with the HTTP upgrade request that the relay rebuilt.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.h"
#include "mux/reactor.h"

namespace oqto::mux {

// Why we end a connection, in the registry's numbers (RFC 6455, section 7.4). What a client breaks of the protocol
// itself is answered with 1002, 1007 or 1009, and what it closes with with the same, as far as the registry has it.
enum class Closing : std::uint16_t {
  going_away = 1001,   // the host stops, or the person's access has ended
  unsupported = 1003,  // a binary message
  policy = 1008,       // it takes more than its share
};

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
  // Sends what is queued, then a close frame. Nothing more is read.
  void close(Closing why);
  // The same at once: what is queued and not begun is dropped, and who does not close in time is cut off.
  void cut(Closing why);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oqto::mux
