// What oqto-init does for the runner: programs with pipes and with terminals of their own.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox/launch/test_runner.h"

namespace oqto::sandbox {
namespace {

using ipc::StdioKind;
using Words = std::vector<std::string>;

struct Pipe {
  Fd read, write;
};
Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {Fd::adopt(ends[0]), Fd::adopt(ends[1])};
}

// All that a program says on a pipe.
std::string said(TestRunner& runner, std::uint32_t number, TestRunner::Wanted wanted) {
  Pipe out = make_pipe();
  runner.give(number, StdioKind::out, out.write);
  out.write.reset();
  runner.start(number, std::move(wanted));
  return read_until(out.read, "\xff");
}

FilterKind kind(bool open) {
  return {.run_own_programs = true, .notify_exec = true, .notify_open = open};
}

TEST(Programs, GetThreePipes) {
  TestRunner::with({.kind = kind(true)}, [](TestRunner& runner) {
    Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
    runner.give(1, StdioKind::in, in.read);
    runner.give(1, StdioKind::out, out.write);
    runner.give(1, StdioKind::err, err.write);
    for (Fd* end : {&in.read, &out.write, &err.write}) end->reset();
    runner.start(1, {.argv = {"/bin/sh", "-c", "read x; echo got $x; echo bad >&2; exit 3"}});
    EXPECT_TRUE(runner.expect<ipc::ProgramStarted>().has_value());
    ASSERT_TRUE(sys::write_all(in.write, "it\n").has_value());
    EXPECT_EQ(read_until(out.read, "\xff"), "got it\n");
    EXPECT_EQ(read_until(err.read, "\xff"), "bad\n");
    EXPECT_EQ(runner.expect<ipc::ProgramExited>()->exit_status, 3);
  });
}

TEST(Programs, WithoutStdioHaveDevNullAndNoOtherDescriptor) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    EXPECT_EQ(said(runner, 1,
                   {.argv = {"/bin/sh", "-c",
                             "cat; readlink /proc/$$/fd/0; "
                             "readlink /proc/$$/fd/2; ls /proc/$$/fd"}}),
              "/dev/null\n/dev/null\n0\n1\n2\n");
  });
}

TEST(Programs, TheEnvironmentIsThePlansAndThenTheRunners) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    EXPECT_EQ(said(runner, 1, {.argv = {"/usr/bin/env"}, .env = {"FROM=runner", "no equals sign"}}),
              "PATH=/usr/bin:/bin\nPS1=$ \nFROM=runner\n");
  });
}

TEST(Programs, ThatCannotBeStartedSayWhy) {
  TestRunner::with({.kind = kind(true)}, [](TestRunner& runner) {
    runner.start(1, {.argv = {"/no/such/program"}, .rows = 10, .columns = 10});
    Fd master;
    EXPECT_TRUE(runner.expect<ipc::ProgramTerminal>(&master).has_value());
    EXPECT_EQ(runner.expect<ipc::ProgramFailed>()->error, static_cast<std::uint32_t>(ENOENT));
    runner.start(2, {.argv = {"/etc/passwd"}});
    EXPECT_EQ(runner.expect<ipc::ProgramFailed>()->error, static_cast<std::uint32_t>(EACCES));
  });
}

TEST(Programs, WithoutAMonitorStartsFailAndNothingHangs) {
  for (const bool open : {false, true}) {
    Monitored dead{.kind = kind(open), .monitor_dies = true};
    TestRunner::with(std::move(dead), [open](TestRunner& runner) {
      for (std::uint32_t i = 1; i <= 3; ++i) {
        // With a terminal where that needs a file to be opened, which fails as well.
        const auto rows = static_cast<std::uint16_t>(open ? 24 : 0);
        runner.start(i, {.argv = {"/bin/true"}, .rows = rows, .columns = 80});
        EXPECT_EQ(runner.expect<ipc::ProgramFailed>()->error, static_cast<std::uint32_t>(ENOSYS));
      }
    });
  }
}

// --- terminals ---------------------------------------------------------------------------------

struct Terminal {
  Terminal(TestRunner& runner, Words argv) : runner_(runner) {
    runner.start(1, {.argv = std::move(argv), .env = {"TERM=dumb"}, .rows = 33, .columns = 101});
    EXPECT_TRUE(runner.expect<ipc::ProgramTerminal>(&master).has_value());
    EXPECT_TRUE(runner.expect<ipc::ProgramStarted>().has_value());
  }
  // Types, and reads until the text appears.
  std::string type(std::string_view keys, std::string_view until) {
    EXPECT_TRUE(sys::write_all(master, keys).has_value());
    std::string text = read_until(master, until);
    EXPECT_NE(text.find(until), std::string::npos) << text;
    return text;
  }
  void resize(std::uint16_t rows, std::uint16_t columns) {
    const winsize size{rows, columns, 0, 0};
    EXPECT_EQ(::ioctl(master.get(), TIOCSWINSZ, &size), 0);
  }
  Fd master;
  TestRunner& runner_;
};

TEST(Terminals, HaveTheSizeAskedForAndFollowAResize) {
  for (const bool open : {false, true}) {
    TestRunner::with({.kind = kind(open)}, [](TestRunner& runner) {
      Terminal terminal(runner, {"/bin/bash", "--norc", "--noediting", "-i"});
      terminal.type("stty size; tty\n", "33 101\r\n/dev/pts/");
      terminal.type("trap 'echo resi''zed' WINCH; echo rea''dy\n", "ready");
      terminal.resize(50, 120);
      terminal.type("\n", "resized");
      terminal.type("stty size\n", "50 120");
      terminal.type("exit 7\n", "exit");
      EXPECT_EQ(runner.expect<ipc::ProgramExited>()->exit_status, 7);
    });
  }
}

TEST(Terminals, InterruptStopAndContinueWork) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    Terminal terminal(runner, {"/bin/bash", "--norc", "--noediting", "-i"});
    terminal.type("sh -c 'echo star''ted; exec sleep 1000'\n", "started");
    terminal.type("\x03", "^C");
    terminal.type("echo status=$?\n", "status=130");
    terminal.type("sh -c 'echo aga''in; exec sleep 1000'\n", "again");
    terminal.type("\x1a", "Stopped");
    terminal.type("bg\n", "&");
    terminal.type("jobs\n", "Running");
    terminal.type("kill %1; wait; echo wai''ted\n", "waited");
    terminal.type("\x04", "exit");
    EXPECT_TRUE(runner.expect<ipc::ProgramExited>().has_value());
  });
}

TEST(Terminals, HangUpWhenTheirHolderGoes) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    Terminal terminal(runner, {"/bin/sleep", "1000"});
    terminal.master.reset();
    EXPECT_EQ(runner.expect<ipc::ProgramExited>()->signal, SIGHUP);
  });
}

TEST(Terminals, StreamsThatAreGivenWinOverThem) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    const std::string text =
        said(runner, 1,
             {.argv = {"/bin/sh", "-c",
                       "test -t 0 && test ! -t 1 && test -t 2 && echo yes > /dev/tty; "
                       "echo out"},
              .rows = 24,
              .columns = 80});
    EXPECT_EQ(text, "out\n");
    Fd master;
    ASSERT_TRUE(runner.expect<ipc::ProgramTerminal>(&master).has_value());
    EXPECT_EQ(read_until(master, "yes\r\n"), "yes\r\n");
  });
}

TEST(Terminals, AttackTypingIntoOnesOwnTerminalIsRefused) {
  TestRunner::with({.kind = kind(false)}, [](TestRunner& runner) {
    const char* script =
        "sysopen(T, '/dev/tty', 2) or die; my $x = 'x';"
        "for my $c (0x5412, 0x100005412, 0x541c) {"
        "  print ioctl(T, $c, $x) ? 'typed' : $! == 1 ? 'refused' : $!, qq(\\n) }";
    EXPECT_EQ(said(runner, 1, {.argv = {"/usr/bin/perl", "-e", script}, .rows = 24, .columns = 80}),
              "refused\nrefused\nrefused\n");
  });
}

}  // namespace
}  // namespace oqto::sandbox
