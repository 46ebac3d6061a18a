// Attacks by descriptors: inherited ones, and ones that others pass.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

int list_descriptors(const Words&) {
  for (int fd = 0; fd < 4096; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("%d ", fd);
  }
  std::puts("");
  return 0;
}

int receive_descriptor(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return -1;
  char byte = 0;
  iovec io{&byte, 1};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  if (::recvmsg(fd, &message, 0) != 1) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    errno = EBADF;
    return -1;
  }
  int passed = -1;
  std::memcpy(&passed, CMSG_DATA(header), sizeof passed);
  return passed;
}

// SOCKET FILE: somebody outside passes a directory; FILE below it is opened through it.
int reach_through(const Words& a) {
  const int dir = receive_descriptor(a[0]);
  if (dir < 0) return verdict(false);
  return verdict(::openat(dir, a[1].c_str(), O_RDONLY) >= 0);
}

// As the directory that one is in, too.
int move_through(const Words& a) {
  const int dir = receive_descriptor(a[0]);
  if (dir < 0 || ::fchdir(dir) != 0) return verdict(false);
  return verdict(::open(a[1].c_str(), O_RDONLY) >= 0);
}

// What standard input, output and error are.
int describe_stdio(const Words&) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat info {};
    (void)::fstat(fd, &info);
    std::printf("%s ", S_ISSOCK(info.st_mode) ? "socket"
                       : S_ISFIFO(info.st_mode) ? "pipe"
                       : S_ISCHR(info.st_mode)  ? "device"
                                                : "file");
  }
  std::puts("");
  return 0;
}

// Through /proc/self/fd a descriptor can be opened anew, with other rights.
int reopen_writable(const Words& a) {
  const int fd = ::open(a[0].c_str(), O_RDONLY);
  if (fd < 0) return verdict(false);
  return verdict(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY) >= 0);
}

constexpr Attack kAttacks[] = {
    {"descriptors", list_descriptors}, {"reach-through", reach_through},
    {"move-through", move_through},    {"stdio", describe_stdio},
    {"reopen", reopen_writable},
};

}  // namespace

std::span<const Attack> descriptor_attacks() { return kAttacks; }

}  // namespace probe
