#include "sandbox/launch/test_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include "base/sys.h"
#include "sandbox/init/programs.h"

namespace oqto::sandbox {
namespace {

struct Control final : ipc::Watcher {
  ipc::Channel channel;
  Programs* programs = nullptr;
  bool open = true;
  void on_ready(std::uint32_t) override {
    while (open) {
      const auto received = channel.receive();
      if (!received && received.error().code == Errc::limit) return;
      open = received && programs->on_message(*received);
    }
  }
};

struct Children final : ipc::Watcher {
  Fd signals;
  Programs* programs = nullptr;
  void on_ready(std::uint32_t) override {
    char records[1024];
    while (::read(signals.get(), records, sizeof records) > 0) {
    }
    (void)programs->reap();
  }
};

// Only what oqto-init has: ends of the test's pipes would keep them open.
Fd keep_as(const Fd& fd, int number) {
  CHECK(::dup3(fd.get(), number, O_CLOEXEC) == number);
  return Fd::adopt(number);
}

int serve(const Fd& inherited_end, const Fd& inherited_null) {
  constexpr int kEnd = 500, kNull = 501;
  Fd end = keep_as(inherited_end, kEnd), null = keep_as(inherited_null, kNull);
  CHECK(::close_range(3, kEnd - 1, 0) == 0);
  auto loop = ipc::Loop::create();
  Control control;
  control.channel = ipc::Channel(std::move(end));
  Children children;
  children.signals = *ipc::signal_fd({SIGCHLD});
  Programs programs(*loop, control.channel, {"PATH=/usr/bin:/bin", "FROM=plan", "PS1=$ "},
                    std::move(null));
  control.programs = children.programs = &programs;
  if (!loop->watch(control.channel.fd(), control) || !loop->watch(children.signals, children)) {
    return 1;
  }
  while (control.open) {
    if (!loop->run_once(-1)) return 2;
  }
  return 0;
}

}  // namespace

void TestRunner::with(Monitored monitored, const std::function<void(TestRunner&)>& drive) {
  auto pair = *sys::seqpacket_pair();
  const Fd null = *sys::open_file("/dev/null", O_RDWR);
  // Blocked before there is a second thread, which would swallow what the monitor waits for.
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  CHECK(::sigprocmask(SIG_BLOCK, &children, nullptr) == 0);
  std::thread driver([&] {
    TestRunner runner(ipc::Channel(std::move(pair.first)));
    drive(runner);
  });
  (void)monitored.run([&] { return serve(pair.second, null); });
  driver.join();
}

void TestRunner::give(std::uint32_t program, ipc::StdioKind kind, const Fd& fd) {
  CHECK(channel_.send(ipc::GiveStdio{program, kind}, fd).has_value());
}

void TestRunner::start(std::uint32_t program, Wanted wanted) {
  CHECK(channel_
            .send(ipc::StartProgram{program,
                                    {std::move(wanted.argv)},
                                    {std::move(wanted.env)},
                                    "/tmp",
                                    wanted.rows,
                                    wanted.columns})
            .has_value());
}

std::string read_until(const Fd& fd, std::string_view text) {
  std::string all;
  const std::uint64_t deadline =
      sys::monotonic_ms() + static_cast<std::uint64_t>(TestRunner::kPatienceMs);
  while (all.find(text) == std::string::npos && sys::monotonic_ms() < deadline) {
    pollfd end{fd.get(), POLLIN, 0};
    if (::poll(&end, 1, 100) <= 0) continue;
    char piece[4096];
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n <= 0) break;
    all.append(piece, static_cast<std::size_t>(n));
  }
  return all;
}

}  // namespace oqto::sandbox
