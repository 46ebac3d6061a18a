// The real oqtoctl against a guard that the test plays, on a socket in a directory of its own.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/sys.h"
#include "ipc/channel.h"

namespace oqto::cli {

constexpr int kAnswerMs = 20'000;

struct Ran {
  int status = -1;
  std::string out, err;
};

inline Ran oqtoctl(std::vector<std::string> arguments, const std::string& zone = "UTC") {
  int out[2];
  int err[2];
  EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    (void)::dup2(out[1], STDOUT_FILENO);
    (void)::dup2(err[1], STDERR_FILENO);
    ::setenv("TZ", zone.c_str(), 1);
    ::unsetenv("OQTO_STATE");
    std::vector<char*> argv{const_cast<char*>("oqtoctl")};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(OQTOCTL_BIN, argv.data());
    ::_exit(127);
  }
  ::close(out[1]);
  ::close(err[1]);
  const Fd out_end = Fd::adopt(out[0]);
  const Fd err_end = Fd::adopt(err[0]);
  Ran ran;
  ran.out = sys::read_all(out_end, 1 << 20).value_or("");
  ran.err = sys::read_all(err_end, 1 << 20).value_or("");
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

// Accepts connections one by one and lets `serve` answer each request.
class FakeGuard {
 public:
  using Serve = std::function<void(ipc::Channel&, const ipc::CtlRequest&)>;

  FakeGuard() {
    std::string name = (std::filesystem::temp_directory_path() / "oqtoctl-XXXXXX").string();
    dir_ = ::mkdtemp(name.data());
  }
  ~FakeGuard() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(dir_);
  }
  [[nodiscard]] std::string state() const { return dir_.string(); }

  void listen(Serve serve) {
    listener_ = Fd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, (state() + "/control.sock").c_str());
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
    thread_ = std::thread([this, serve = std::move(serve)] {
      while (!stop_) {
        Fd fd = Fd::adopt(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) {
          ::usleep(5000);
          continue;
        }
        ipc::Channel channel(std::move(fd));
        for (;;) {
          const auto received = channel.wait(kAnswerMs);
          const auto request = received ? received->as<ipc::CtlRequest>()
                                        : Result<ipc::CtlRequest>(fail(Errc::unavailable, ""));
          if (!request) break;
          serve(channel, *request);
        }
      }
    });
  }

 private:
  std::filesystem::path dir_;
  Fd listener_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;
};

// Plays accounts: hands out one end, checks what is asked, and answers.
inline void serve_accounts(ipc::Channel& guard, ipc::AdminVerb verb, const std::string& body,
                    const std::string& answer, std::uint8_t ok = 1) {
  auto pair = sys::seqpacket_pair();
  ASSERT_TRUE(pair);
  ASSERT_TRUE(guard.send(ipc::CtlAccounts{}, pair->second));
  pair->second.reset();
  ipc::Channel accounts(std::move(pair->first));
  const auto received = accounts.wait(kAnswerMs);
  ASSERT_TRUE(received);
  const auto call = received->as<ipc::AdminCall>();
  ASSERT_TRUE(call);
  EXPECT_EQ(call->verb, verb);
  EXPECT_EQ(call->body.value, body);
  ASSERT_TRUE(accounts.send(ipc::AdminReply{.ok = ok, .body = {answer}}));
}

}  // namespace oqto::cli
