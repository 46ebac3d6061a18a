#include "sandbox_cli/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "base/fd.h"

namespace oqto::sandbox_cli {
namespace {

// errno, 0: it worked.
using Attack = std::function<int()>;

int outcome(long result) {
  return result < 0 ? errno : 0;
}

int open_file(const std::string& path, int flags) {
  const Fd fd = Fd::adopt(::open(path.c_str(), flags | O_CLOEXEC));
  return outcome(fd.get());
}

int connect_to(int family, const void* address, std::size_t size) {
  const Fd fd = Fd::adopt(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  return outcome(
      ::connect(fd.get(), static_cast<const sockaddr*>(address), static_cast<socklen_t>(size)));
}

int connect_loopback(const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(::atoi(port.c_str())));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect_to(AF_INET, &address, sizeof address);
}

int connect_abstract(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::min(name.size(), sizeof address.sun_path - 1);
  ::memcpy(address.sun_path + 1, name.data(), length);
  return connect_to(AF_UNIX, &address, sizeof(sa_family_t) + 1 + length);
}

// In a child: what it changes must not outlive the attack.
int in_child(const Attack& attack) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(attack());
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return EAGAIN;
  return WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;  // a kill is an answer too
}

int new_user_namespace() {
  return outcome(::unshare(CLONE_NEWUSER));
}

int mount_something() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return errno;
  return outcome(::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr));
}

int privileges() {
  return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0;
}

// In a child just forked, whose parent has the same variable at the same place.
int read_parent() {
  static char variable = 'x';
  char copy = 0;
  const iovec into{&copy, 1}, from{&variable, 1};
  return outcome(::process_vm_readv(::getppid(), &into, 1, &from, 1, 0));
}

int io_uring() {
  char parameters[120] = {};
  const Fd ring = Fd::adopt(static_cast<int>(::syscall(SYS_io_uring_setup, 1, parameters)));
  return outcome(ring.get());
}

int vsock() {
  const Fd fd = Fd::adopt(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return outcome(fd.get());
}

}  // namespace

int attack_from_here(const std::vector<std::string>& words) {
  if (words.size() != Targets{}.words().size()) return 2;
  const Targets target{words[0], words[1], words[2], words[3], words[4]};
  const struct {
    const char* name;
    Attack attack;
  } all[] = {
      {"read-home", [&] { return open_file(target.secret_file, O_RDONLY); }},
      {"read-tmp", [&] { return open_file(target.temporary_file, O_RDONLY); }},
      {"read-environment", [] { return ::getenv(kSecretVariable) == nullptr ? ENOENT : 0; }},
      {"signal-process", [&] { return outcome(::kill(::atoi(target.process.c_str()), 0)); }},
      {"read-process-memory", [] { return in_child(read_parent); }},
      {"connect-loopback", [&] { return connect_loopback(target.port); }},
      {"connect-abstract", [&] { return connect_abstract(target.abstract_socket); }},
      {"make-vsock", vsock},
      {"make-user-namespace", [] { return in_child(new_user_namespace); }},
      {"mount", [] { return in_child(mount_something); }},
      {"gain-privileges", privileges},
      {"io-uring", io_uring},
  };
  for (const auto& [name, attack] : all) {
    const int error = attack();
    if (error == 0)
      (void)std::printf("%s open\n", name);
    else
      (void)std::printf("%s closed %s\n", name, ::strerrorname_np(error));
  }
  return 0;
}

}  // namespace oqto::sandbox_cli
