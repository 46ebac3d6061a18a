// Channel: one end of a SOCK_SEQPACKET pair that the guard made. One datagram is one message, with
// at most one descriptor. Having the channel is the permission; nobody is named in a message.
#pragma once
#include <cstddef>
#include <memory>
#include <span>

#include "base/fd.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "ipc/wire.h"

namespace oqto::ipc {

constexpr std::size_t kMaxDatagram = 64 * 1024;

struct Received {
  Tag tag{};
  std::span<const std::byte> bytes;  // valid until the next receive() on the same channel
  Fd fd;

  // Demands the descriptor rule of the message: a surplus or missing descriptor is a violation.
  template <class Message>
  Result<Message> as() const {
    if (static_cast<bool>(fd) != Message::kWithFd) {
      return fail(Errc::bad_message, "a descriptor is missing or not allowed here");
    }
    return decode<Message>(bytes);
  }
};

class Channel {
 public:
  Channel() = default;
  explicit Channel(Fd fd) : fd_(std::move(fd)) {}

  // Never blocks. Errc::limit: the peer does not read (the caller decides what that means);
  // Errc::unavailable: the peer is gone.
  template <class Message>
  Status send(const Message& message) {
    static_assert(!Message::kWithFd);
    return send_bytes(encode(message), -1);
  }
  template <class Message>
  Status send(const Message& message, const Fd& with) {
    static_assert(Message::kWithFd);
    return send_bytes(encode(message), with.get());
  }

  // Never blocks. Errc::limit: nothing there now; Errc::unavailable: the peer is gone;
  // Errc::bad_message: cut short, two descriptors, or no tag.
  Result<Received> receive();

  // Waits at most `timeout_ms` for the next message (Errc::limit on timeout; -1 waits for ever).
  Result<Received> wait(int timeout_ms);

  [[nodiscard]] const Fd& fd() const { return fd_; }
  explicit operator bool() const { return static_cast<bool>(fd_); }

 private:
  Status send_bytes(std::span<const std::byte> bytes, int with);

  Fd fd_;
  std::unique_ptr<std::byte[]> buffer_;  // made at the first receive()
};

}  // namespace oqto::ipc
