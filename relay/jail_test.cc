// The attacker has taken over a connection process, or the listener, and tries to get further. Each
// attempt runs in its own process, which the kernel must kill with SIGSYS.
#include "relay/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace oqto::relay {
namespace {

constexpr int kNotSealed = 99;

// How a process ends that seals itself and then runs `act`: its exit status, or minus the signal.
template <class Enter, class Act>
int ending_of(Enter enter, Act act) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const rlimit none{0, 0};
    (void)::setrlimit(RLIMIT_CORE, &none);
    if (!enter()) ::_exit(kNotSealed);
    ::_exit(act());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

template <class Act>
int in_connection(Act act) {
  const auto jail = ConnectionJail::prepare(0);
  EXPECT_TRUE(jail);
  return ending_of(
      [&] { return ::syscall(SYS_prctl, 38 /* NO_NEW_PRIVS */, 1, 0, 0, 0) == 0 && jail->enter(); },
      act);
}
template <class Act>
int in_listener(Act act) {
  return ending_of([] { return seal_listener().has_value(); }, act);
}

TEST(ConnectionJailAttack, CannotOpenConnectOrExecute) {
  EXPECT_EQ(in_connection([] { return ::open("/etc/passwd", O_RDONLY); }), -SIGSYS);
  EXPECT_EQ(in_connection([] { return ::open("/tmp", O_RDONLY | O_DIRECTORY); }), -SIGSYS);
  EXPECT_EQ(in_connection([] { return ::socket(AF_INET, SOCK_STREAM, 0); }), -SIGSYS);
  EXPECT_EQ(in_connection([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }), -SIGSYS);
  EXPECT_EQ(in_connection([] {
              int ends[2];
              return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
            }),
            -SIGSYS);
  EXPECT_EQ(in_connection([] { return ::execl("/bin/true", "true", nullptr); }), -SIGSYS);
}

TEST(ConnectionJailAttack, CannotMakeProcessesCodeOrSignals) {
  EXPECT_EQ(in_connection([] { return static_cast<int>(::syscall(SYS_fork)); }), -SIGSYS);
  EXPECT_EQ(
      in_connection([] { return static_cast<int>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }),
      -SIGSYS);
  EXPECT_EQ(in_connection([] { return ::kill(1, 0); }), -SIGSYS);
  EXPECT_EQ(in_connection([] { return static_cast<int>(::ptrace(PTRACE_TRACEME)); }), -SIGSYS);
  EXPECT_EQ(in_connection([] {
              return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
            }),
            -SIGSYS);
  EXPECT_EQ(in_connection(
                [] { return ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, 0, 0) == MAP_FAILED; }),
            -SIGSYS);
  alignas(4096) static char page[4096];
  EXPECT_EQ(in_connection([] { return ::mprotect(page, sizeof page, PROT_READ | PROT_EXEC); }),
            -SIGSYS);
}

TEST(ConnectionJailAttack, CannotAcceptFurtherConnectionsOrTouchSocketOptions) {
  EXPECT_EQ(in_connection([] { return ::accept4(0, nullptr, nullptr, 0); }), -SIGSYS);
  EXPECT_EQ(in_connection([] {
              int one = 1;
              return ::setsockopt(0, SOL_SOCKET, SO_LINGER, &one, sizeof one);
            }),
            -SIGSYS);
  EXPECT_EQ(in_connection([] {
              sockaddr to{};
              return static_cast<int>(::sendto(0, "x", 1, 0, &to, sizeof to));
            }),
            -SIGSYS);
}

TEST(ConnectionJail, LeavesWhatItsWorkNeeds) {
  EXPECT_EQ(in_connection([] {
              void* memory =
                  ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return memory == MAP_FAILED || ::alarm(0) != 0 || ::getpid() == 0;
            }),
            0);
}

TEST(ListenerJailAttack, CannotOpenConnectOrExecute) {
  EXPECT_EQ(in_listener([] { return ::open("/etc/passwd", O_RDONLY); }), -SIGSYS);
  EXPECT_EQ(in_listener([] { return ::socket(AF_INET, SOCK_STREAM, 0); }), -SIGSYS);
  EXPECT_EQ(in_listener([] { return ::execl("/bin/true", "true", nullptr); }), -SIGSYS);
  EXPECT_EQ(in_listener([] {
              return static_cast<int>(
                  ::syscall(SYS_clone, SIGCHLD | 0x10000000 /* NEWUSER */, 0, 0, 0, 0));
            }),
            -SIGSYS);
}

// close() of a TCP connection that lingers waits for its peer, non-blocking or not. Sent to the guard
// as a descriptor, one such would stop the whole host; both spellings of the option are tried.
TEST(ListenerJailAttack, CannotMakeAConnectionLinger) {
  const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(tcp, 0);
  static const linger kHours{1, 10'000};
  for (const long high : {0L, 1L << 32}) {
    EXPECT_EQ(in_listener([&] {
                return static_cast<int>(::syscall(SYS_setsockopt, tcp, high | SOL_SOCKET,
                                                  high | SO_LINGER, &kHours, sizeof kHours));
              }),
              -SIGSYS);
  }
  const int on = 1;
  EXPECT_EQ(in_listener([&] {
              return ::setsockopt(tcp, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
            }),
            0);
  ::close(tcp);
}

TEST(ListenerJail, MayForkAndReap) {
  EXPECT_EQ(in_listener([] {
              const pid_t pid = ::fork();
              if (pid == 0) ::_exit(7);
              int status = 0;
              return pid > 0 && ::waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7 ? 0
                                                                                              : 1;
            }),
            0);
}

}  // namespace
}  // namespace oqto::relay
