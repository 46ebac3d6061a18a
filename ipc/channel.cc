#include "ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/sys.h"

namespace oqto::ipc {

Status Channel::send_bytes(std::span<const std::byte> bytes, int with) {
  CHECK(bytes.size() <= kMaxDatagram);
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (with >= 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &with, sizeof with);
  }
  for (;;) {
    const ssize_t n = ::sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
      return std::unexpected(Error{Errc::limit, "the peer does not read its channel", errno});
    }
    return std::unexpected(Error{Errc::unavailable, "the peer is gone", errno});
  }
}

Result<Received> Channel::receive() {
  if (!buffer_) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kMaxDatagram);
  iovec part{buffer_.get(), kMaxDatagram};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = CMSG_LEN(sizeof(int));  // with CMSG_SPACE a second descriptor fits
  ssize_t n;
  do {
    n = ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return fail(Errc::limit, "no message");
  if (n <= 0) return fail(Errc::unavailable, "the peer is gone");

  Received received;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int))) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(c), sizeof number);
      received.fd = Fd::adopt(number);
    }
  }
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(Errc::bad_message, "the message was cut short or had two descriptors");
  }
  received.bytes = {buffer_.get(), static_cast<std::size_t>(n)};
  Reader reader(received.bytes);
  std::uint16_t tag = 0;
  if (!reader(tag) || tag == 0 || tag >= static_cast<std::uint16_t>(Tag::kEnd)) {
    return fail(Errc::bad_message, "a message with no known tag");
  }
  received.tag = static_cast<Tag>(tag);
  return received;
}

Result<Received> Channel::wait(int timeout_ms) {
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  for (;;) {
    auto received = receive();
    if (received || received.error().code != Errc::limit) return received;
    int left = -1;
    if (timeout_ms >= 0) {
      const std::uint64_t now = sys::monotonic_ms();
      if (now >= deadline) return received;
      left = static_cast<int>(deadline - now);
    }
    pollfd entry{fd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, left) < 0 && errno != EINTR) return fail_errno("poll");
  }
}

}  // namespace oqto::ipc
