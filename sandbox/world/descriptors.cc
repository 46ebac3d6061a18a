#include "sandbox/world/descriptors.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace oqto::sandbox {

Status send_descriptors(const Fd& socket, const std::vector<Fd>& descriptors) {
  if (descriptors.empty() || descriptors.size() > kMaxSent) {
    return fail(Errc::limit, "too many descriptors for one message");
  }
  std::vector<std::byte> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
  char byte = 0;
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    const int number = descriptors[i].get();
    std::memcpy(CMSG_DATA(header) + i * sizeof number, &number, sizeof number);
  }
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) != 1) return fail_errno("sendmsg");
  return {};
}

Result<std::vector<Fd>> receive_descriptors(const Fd& socket) {
  std::vector<std::byte> control(CMSG_SPACE(kMaxSent * sizeof(int)));
  char byte = 0;
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return fail(Errc::limit, "nothing there");
  if (n < 0) return fail_errno("recvmsg");
  std::vector<Fd> received;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + at - CMSG_LEN(0), sizeof number);
      received.push_back(Fd::adopt(number));
    }
  }
  if (n == 0) return fail(Errc::unavailable, "the other end is gone");
  if ((message.msg_flags & MSG_CTRUNC) != 0)
    return fail(Errc::bad_message, "descriptors were lost");
  return received;
}

}  // namespace oqto::sandbox
