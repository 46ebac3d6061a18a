// For tests: networks of their own. The outer one is this process's; the inner one is a sandbox's,
// in a user namespace that an unprivileged user made, as the stand-alone tool does it.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::egress::test {

constexpr std::uint32_t kResolverAddress = 0xc6120001;  // 198.18.0.1
constexpr unsigned kPlainUser = 65533;

// lo is up, and 198.18.0.0/15 is local, with 127.0.0.1 as its source (or without the pool).
Status furnish_network(bool with_pool);

// This process, which must be root and have one thread, moves to an empty network with `lo` alone
// and to mounts of its own, where /etc/resolv.conf names `nameserver`.
Status enter_own_world(const std::string& nameserver);

// An inner network, and a process in it that makes sockets and starts programs.
class Inner {
 public:
  explicit Inner(unsigned uid = kPlainUser);
  ~Inner();
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;
  [[nodiscard]] Fd socket(int type, int family = AF_INET) const;
  // Runs a program inside, where /etc/resolv.conf names our resolver, and waits: its wait status.
  [[nodiscard]] int run(const std::vector<std::string>& argv) const;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] unsigned uid() const { return uid_; }

 private:
  const unsigned uid_;
  Fd requests_;
  pid_t pid_ = -1;
};

Status bind_at(const Fd& socket, std::uint32_t address, std::uint16_t port);
Status connect_to(const Fd& socket, std::uint32_t address, std::uint16_t port);

}  // namespace oqto::egress::test
