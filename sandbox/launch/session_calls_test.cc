// System calls in real sessions: what is refused is recorded, hidden files are asked for, programs
// get terminals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/sys.h"
#include "sandbox/launch/test_session.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;
using Words = std::vector<std::string>;

constexpr int kPatienceMs = 20'000;

ipc::AuditAppend record_of(TestSession& session, ipc::Event event) {
  for (int i = 0; i < kPatienceMs / 20; ++i) {
    for (const auto& record : session.audit().records()) {
      if (record.event == event) return record;
    }
    ::usleep(20'000);
  }
  ADD_FAILURE() << "no such record";
  return {};
}

TEST(SessionCalls, RefusedOnesAreRecordedByName) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run(
      {"/bin/bash", "-c", "exec 2>/dev/null; unshare -U true; unshare -n true; echo $?"});
  EXPECT_EQ(ran.output, "1\n");
  const auto record = record_of(session, ipc::Event::denial);
  EXPECT_EQ(values(record, FieldKey::syscall), Words{"unshare"});
  EXPECT_EQ(values(record, FieldKey::exe), Words{"/usr/bin/unshare"});
  EXPECT_EQ(values(record, FieldKey::rule), Words{"namespaces"});
  EXPECT_EQ(values(record, FieldKey::count), Words{"2"});
}

TEST(SessionCalls, AForeignAbiEndsTheProgramWithSigsys) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run({"/usr/bin/perl", "-e", "syscall(0x40000000 + 39)"});
  EXPECT_EQ(ran.signal, SIGSYS);
}

TEST(SessionCalls, StraceIsRefusedInWords) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  const Ran ran = session.run({"/bin/bash", "-c", "strace true 2>&1; echo $?"});
  EXPECT_NE(ran.output.find("Operation not permitted"), std::string::npos) << ran.output;
}

// A session whose workspace has a hidden `.env`.
struct Asking {
  explicit Asking(const std::string& how) : session(options(how)) {
    const std::string path = session.workspace() + "/.env";
    std::ofstream(path) << "KEY=1\n";
    EXPECT_EQ(::chown(path.c_str(), session.uid(), session.uid()), 0);
    EXPECT_EQ(session.start(), "");
  }
  static TestSession::Options options(const std::string& how) {
    TestSession::Options options;
    options.policy.ask.values = {how + ":./.env"};
    options.policy.ask_timeout_s = 1;
    return options;
  }
  ipc::ApprovalAsk question() {
    const auto received = session.guard().wait(kPatienceMs);
    const auto ask =
        received ? received->as<ipc::ApprovalAsk>() : std::unexpected(received.error());
    EXPECT_TRUE(ask.has_value());
    return ask.value_or(ipc::ApprovalAsk{});
  }
  TestSession session;
};

TEST(SessionCalls, AHiddenFileIsReadAfterTheUsersYes) {
  Asking asking("prompt");
  Fd io;
  const auto program = asking.session.launch({"/bin/cat", ".env"}, &io);
  const ipc::ApprovalAsk question = asking.question();
  EXPECT_EQ(question.what.view(), "/workspace/.env");
  EXPECT_EQ(question.argv.values, (Words{"/bin/cat", ".env"}));
  EXPECT_EQ(question.cwd.view(), "/workspace");
  EXPECT_GT(question.pid, 1U);
  ASSERT_TRUE(asking.session.guard()
                  .send(ipc::ApprovalAnswer{question.session, question.kind, question.question,
                                            ipc::ApprovalChoice::session})
                  .has_value());
  EXPECT_EQ(asking.session.end(program, io).output, "KEY=1\n");
  EXPECT_EQ(asking.session.run({"/bin/cat", "/workspace/.env"}).output, "KEY=1\n");
  const auto record = record_of(asking.session, ipc::Event::approval);
  EXPECT_EQ(values(record, FieldKey::choice), Words{"session"});
  EXPECT_EQ(values(record, FieldKey::path), Words{"/workspace/.env"});
}

TEST(SessionCalls, AttackAHiddenFileWithoutAYesStaysHiddenOnEveryWay) {
  Asking asking("prompt");
  const Ran ran = asking.session.run(
      {"/bin/bash", "-c",
       "exec 2>/dev/null; cat .env; cat /proc/self/cwd/.env; ln -s .env l; cat l; cp .env c; ln "
       ".env h; mv .env m; "
       "chmod 600 .env; cat .env; cat /proc/1/root/workspace/.env; "
       "cd /; exec 3</workspace; cat /proc/self/fd/3/.env; echo x > /workspace/.env; echo end"});
  EXPECT_EQ(ran.output, "end\n");
  std::ifstream file(asking.session.workspace() + "/.env");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "KEY=1");
  const auto record = record_of(asking.session, ipc::Event::approval);
  EXPECT_EQ(values(record, FieldKey::rule), Words{"timeout"});
}

TEST(SessionCalls, AnAutomaticPathNeedsNoAnswerAndIsRecorded) {
  Asking asking("auto");
  EXPECT_EQ(asking.session.run({"/bin/cat", ".env"}).output, "KEY=1\n");
  EXPECT_EQ(values(record_of(asking.session, ipc::Event::approval), FieldKey::rule), Words{"auto"});
}

TEST(SessionCalls, AProgramGetsATerminalOfItsOwn) {
  TestSession session({});
  ASSERT_EQ(session.start(), "");
  auto& control = session.control();
  ASSERT_TRUE(control
                  .send(ipc::StartProgram{77,
                                          {{"/bin/bash", "--norc", "--noediting", "-i"}},
                                          {{"PS1=$ ", "TERM=dumb"}},
                                          kInsideWorkspace,
                                          33,
                                          101})
                  .has_value());
  auto received = control.wait(kPatienceMs);
  ASSERT_TRUE(received.has_value() && received->as<ipc::ProgramTerminal>());
  const Fd master = std::move(received->fd);
  received = control.wait(kPatienceMs);
  ASSERT_TRUE(received.has_value() && received->as<ipc::ProgramStarted>());
  std::string text;
  const auto type = [&](std::string_view keys, std::string_view until) {
    ASSERT_TRUE(sys::write_all(master, keys).has_value());
    text.clear();
    const std::uint64_t deadline = sys::monotonic_ms() + kPatienceMs;
    while (text.find(until) == std::string::npos && sys::monotonic_ms() < deadline) {
      pollfd end{master.get(), POLLIN, 0};
      char piece[512];
      if (::poll(&end, 1, 100) <= 0) continue;
      const ssize_t n = ::read(master.get(), piece, sizeof piece);
      if (n <= 0) break;
      text.append(piece, static_cast<std::size_t>(n));
    }
    EXPECT_NE(text.find(until), std::string::npos) << text;
  };
  type("stty size; tty\n", "33 101\r\n/dev/pts/0");
  const winsize size{50, 120, 0, 0};
  ASSERT_EQ(::ioctl(master.get(), TIOCSWINSZ, &size), 0);
  type("stty size\n", "50 120");
  type("sh -c 'echo star''ted; exec sleep 1000'\n", "started");
  type("\x03", "^C");
  type("echo status=$?\n", "status=130");
  type("exit 5\n", "exit");
  received = control.wait(kPatienceMs);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->as<ipc::ProgramExited>()->exit_status, 5);
}

}  // namespace
}  // namespace oqto::sandbox
