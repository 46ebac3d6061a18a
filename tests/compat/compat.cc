#include "tests/compat/compat.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/sys.h"

namespace oqto::sandbox {

void Works::begin(const Policy& policy) {
  session.reset();
  session = std::make_unique<TestSession>(TestSession::Options{.policy = policy});
  ASSERT_EQ(session->start(), "");
}

Ran Works::script(const std::string& text) {
  return session->run({"/bin/bash", "-c", "set -e; exec 2>&1; cd /workspace\n" + text});
}

void Works::expect_says(const std::string& text, const std::string& said) {
  const Ran ran = script(text);
  EXPECT_EQ(ran.exit_status, 0) << ran.output;
  EXPECT_EQ(ran.output, said);
}

Terminal::Terminal(TestSession& session, std::vector<std::string> argv, std::uint16_t rows,
                   std::uint16_t columns) {
  constexpr std::uint32_t kProgram = 900;
  constexpr int kPatienceMs = 20'000;
  CHECK(session.control()
            .send(ipc::StartProgram{kProgram, {std::move(argv)}, {{"TERM=dumb", "PS1=ready> "}},
                                    kInsideWorkspace, rows, columns})
            .has_value());
  for (bool started = false; !started;) {
    auto received = session.control().wait(kPatienceMs);
    CHECK(received.has_value());
    if (received->as<ipc::ProgramTerminal>()) master_ = std::move(received->fd);
    started = received->tag == ipc::ProgramStarted::kTag;
    CHECK(received->tag != ipc::ProgramFailed::kTag);
  }
}

bool Terminal::type(const std::string& keys, const std::string& expected) {
  constexpr std::uint64_t kPatienceMs = 20'000;
  CHECK(sys::write_all(master_, keys).has_value());
  const std::uint64_t deadline = sys::monotonic_ms() + kPatienceMs;
  for (;;) {
    const std::size_t found = seen_.find(expected, from_);
    if (found != std::string::npos) {
      from_ = found + expected.size();
      return true;
    }
    const std::uint64_t now = sys::monotonic_ms();
    pollfd ready{master_.get(), POLLIN, 0};
    if (now >= deadline || ::poll(&ready, 1, static_cast<int>(deadline - now)) != 1) return false;
    char piece[4096];
    const ssize_t n = ::read(master_.get(), piece, sizeof piece);
    if (n <= 0) return false;
    seen_.append(piece, static_cast<std::size_t>(n));
  }
}

bool Terminal::resize(std::uint16_t rows, std::uint16_t columns) {
  const winsize size{rows, columns, 0, 0};
  return ::ioctl(master_.get(), TIOCSWINSZ, &size) == 0;
}

}  // namespace oqto::sandbox
