// Attacks by sockets, and on what other sessions share by name.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

int open_socket(const Words& a) {
  return verdict(::syscall(SYS_socket, number(a[0]), number(a[1]), number(a[2])) >= 0);
}

// Every family, type and protocol 0; netlink by protocol. Prints what opened.
int open_every_socket(const Words&) {
  std::string opened;
  for (long family = 0; family <= 50; ++family) {
    for (long type = 1; type <= 10; ++type) {
      const auto fd = static_cast<int>(::syscall(SYS_socket, family, type, 0));
      if (fd < 0) continue;
      opened += std::to_string(family) + "/" + std::to_string(type) + " ";
      ::close(fd);
    }
  }
  for (long protocol = 1; protocol <= 24; ++protocol) {
    const auto fd = static_cast<int>(::syscall(SYS_socket, AF_NETLINK, SOCK_RAW, protocol));
    if (fd < 0) continue;
    opened += "netlink/" + std::to_string(protocol) + " ";
    ::close(fd);
  }
  std::puts(opened.c_str());
  return 0;
}

int filter_socket(const Words&) {  // with a program that accepts everything
  sock_filter accept{BPF_RET | BPF_K, 0, 0, 0xffff};
  const sock_fprog program{1, &accept};
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  return verdict(::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

int reach(const Words& a) {  // ADDRESS PORT
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(number(a[1])));
  ::inet_pton(AF_INET, a[0].c_str(), &to.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  return verdict(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
}

int reach_by_datagram(const Words& a) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(number(a[1])));
  ::inet_pton(AF_INET, a[0].c_str(), &to.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return verdict(false);
  // Where nobody receives the first one, the kernel says so at the second.
  return verdict(::send(fd, "x", 1, 0) == 1 && ::send(fd, "x", 1, 0) == 1);
}

int reach_six(const Words& a) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(static_cast<std::uint16_t>(number(a[1])));
  ::inet_pton(AF_INET6, a[0].c_str(), &to.sin6_addr);
  const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
  return verdict(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
}

int list_interfaces(const Words&) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return verdict(false);
  std::string seen = " ";
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (seen.find(std::string(" ") + i->ifa_name + " ") == std::string::npos) {
      seen += std::string(i->ifa_name) + " ";
    }
  }
  std::puts(seen.c_str());
  return 0;
}

// --- names that are not files --------------------------------------------------------------------

socklen_t abstract_name(const std::string& name, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

int listen_abstract(const Words& a) {
  sockaddr_un address;
  const socklen_t size = abstract_name(a[0], address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const int datagrams = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 4) != 0 ||
      ::bind(datagrams, reinterpret_cast<sockaddr*>(&address), size) != 0) {
    return verdict(false);
  }
  hold();
}
int connect_abstract(const Words& a) {
  sockaddr_un address;
  const socklen_t size = abstract_name(a[0], address);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  return verdict(::connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
}
int send_abstract(const Words& a) {
  sockaddr_un address;
  const socklen_t size = abstract_name(a[0], address);
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  return verdict(::sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), size) == 1);
}
int connect_path(const Words& a) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  a[0].copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  return verdict(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

int make_segment(const Words& a) {
  if (::shmget(static_cast<key_t>(number(a[0])), 4096, IPC_CREAT | 0666) < 0) return verdict(false);
  hold();
}
int find_segment(const Words& a) {
  return verdict(::shmget(static_cast<key_t>(number(a[0])), 0, 0) >= 0);
}
int remove_segment(const Words& a) {
  return verdict(::shmctl(::shmget(static_cast<key_t>(number(a[0])), 0, 0), IPC_RMID, nullptr) == 0);
}
int make_queue(const Words& a) {
  if (::syscall(SYS_mq_open, a[0].c_str(), 0102 /* O_CREAT|O_RDWR */, 0666, nullptr) < 0) {
    return verdict(false);
  }
  hold();
}
int find_queue(const Words& a) {
  return verdict(::syscall(SYS_mq_open, a[0].c_str(), 2, 0, nullptr) >= 0);
}
int make_file_and_hold(const Words& a) {
  std::FILE* file = std::fopen(a[0].c_str(), "w");
  if (file == nullptr) return verdict(false);
  std::fputs("secret", file);
  std::fflush(file);
  hold();
}

int reach_hypervisor(const Words&) {  // opened only: it connects nowhere
  return verdict(::socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
}

constexpr Attack kAttacks[] = {
    {"filter-socket", filter_socket},
    {"socket", open_socket},
    {"every-socket", open_every_socket},
    {"connect", reach},
    {"send-datagram", reach_by_datagram},
    {"connect6", reach_six},
    {"interfaces", list_interfaces},
    {"abstract-listen", listen_abstract},
    {"abstract-connect", connect_abstract},
    {"abstract-send", send_abstract},
    {"path-connect", connect_path},
    {"shm-make", make_segment},
    {"shm-find", find_segment},
    {"shm-remove", remove_segment},
    {"mq-make", make_queue},
    {"mq-find", find_queue},
    {"file-make", make_file_and_hold},
    {"vsock", reach_hypervisor},
};

}  // namespace

std::span<const Attack> network_attacks() { return kAttacks; }

}  // namespace probe
