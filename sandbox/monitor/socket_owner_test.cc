// Real processes in network namespaces of their own, found by the sockets that they hold.
#include "sandbox/monitor/socket_owner.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/sys.h"
#include "sandbox/loopback.h"

namespace oqto::sandbox {
namespace {

// A process in a new network that runs `hold` there, says so, and waits until the test ends it.
class Member {
 public:
  explicit Member(const std::function<bool()>& hold) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const bool ready = ::unshare(CLONE_NEWNET) == 0 && raise_loopback() && hold();
      (void)!::write(ends[1], ready ? "y" : "n", 1);
      for (;;) ::pause();
    }
    ::close(ends[1]);
    char answer = 0;
    EXPECT_EQ(::read(ends[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ends[0]);
  }
  ~Member() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

bool connect_to(const Fd& socket, std::uint32_t address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = ::htonl(address);
  to.sin_port = ::htons(port);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

// Left open: they end with the process.
bool asks_from(std::uint16_t port) {
  auto socket = bound_socket(SOCK_DGRAM, INADDR_LOOPBACK, port);
  const bool connected = socket && connect_to(*socket, kResolver, 53);
  if (socket) (void)socket->release();
  return connected;
}

TEST(SocketOwner, IsTheProcessWhoseSocketAsksTheResolver) {
  const Member member([] { return asks_from(4053); });
  const auto owner = find_socket_owner(member.pid(), 4053);
  ASSERT_TRUE(owner) << owner.error().what;
  EXPECT_EQ(owner->inside, member.pid());
  ASSERT_FALSE(owner->image.argv.empty());
  EXPECT_TRUE(owner->image.argv[0].ends_with("sandbox_monitor_test")) << owner->image.argv[0];
  EXPECT_EQ(owner->image.cwd, ::testing::internal::FilePath::GetCurrentDir().string());
}

TEST(SocketOwner, OfASocketThatIsNotConnectedIsFoundToo) {
  const Member member([] {
    auto socket = bound_socket(SOCK_DGRAM, INADDR_ANY, 4053);
    return socket && socket->release() >= 0;
  });
  EXPECT_TRUE(find_socket_owner(member.pid(), 4053));
}

TEST(SocketOwner, AttackASocketThatTalksToAnotherIsNotTakenForTheAsker) {
  const Member member([] {
    auto decoy = bound_socket(SOCK_DGRAM, INADDR_LOOPBACK, 4053);
    return decoy && connect_to(*decoy, INADDR_LOOPBACK, 9) && decoy->release() >= 0;
  });
  EXPECT_FALSE(find_socket_owner(member.pid(), 4053));
}

TEST(SocketOwner, AttackTheSamePortInAnotherNetworkIsAnotherSocket) {
  const Member asker([] { return asks_from(4053); });
  const Member other([] { return true; });
  EXPECT_FALSE(find_socket_owner(other.pid(), 4053));
  const Member same([] { return asks_from(4053); });
  const auto owner = find_socket_owner(same.pid(), 4053);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->inside, same.pid());
}

TEST(SocketOwner, WhatCannotBeFoundStaysEmptyInTheQuestion) {
  const Member member([] { return true; });
  ipc::ApprovalAsk question;
  question.port = 4053;
  show_asker(question, member.pid());
  EXPECT_EQ(question.pid, 0U);
  EXPECT_TRUE(question.argv.values.empty());
}

}  // namespace
}  // namespace oqto::sandbox
