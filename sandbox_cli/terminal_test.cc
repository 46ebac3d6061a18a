// oqto-sandbox on a terminal: the program gets one of its own.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

tcflag_t local_modes(const Fd& terminal) {
  termios modes{};
  EXPECT_EQ(::tcgetattr(terminal.get(), &modes), 0);
  return modes.c_lflag;
}
constexpr tcflag_t kCooked = ECHO | ICANON | ISIG;

bool becomes_cooked(const Fd& terminal) {
  for (int i = 0; i < 500; ++i) {
    if ((local_modes(terminal) & kCooked) == kCooked) return true;
    ::usleep(10'000);
  }
  return false;
}

TEST(Terminal, IsAPrivateOneInside) {
  const Tool tool;
  Running running = tool.start_on_terminal(
      {"run", "--", "sh", "-c", "tty; test -t 0 && test -t 1 && test -t 2 && echo all"});
  const std::string seen = running.read_until("all\r\n");
  EXPECT_NE(seen.find("/dev/pts/0\r\n"), std::string::npos) << seen;
  EXPECT_EQ(running.finish().status, 0);
}

TEST(Terminal, HasTheSizeOfTheUsersAndFollowsIt) {
  const Tool tool;
  Running running = tool.start_on_terminal(
      {"run", "--", "bash", "-c",
       "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"});
  EXPECT_NE(running.read_until("ready").find("30 100"), std::string::npos);
  const winsize larger{50, 132, 0, 0};
  ASSERT_EQ(::ioctl(running.terminal().get(), TIOCSWINSZ, &larger), 0);
  running.read_until("50 132");
  EXPECT_EQ(running.finish().status, 0);
}

TEST(Terminal, PassesInterruptOnAsACharacter) {
  const Tool tool;
  Running running = tool.start_on_terminal(
      {"run", "--", "bash", "-c",
       "trap 'echo got it; exit 5' INT; echo ready; while :; do sleep 0.05; done"});
  running.read_until("ready");
  running.type("\x03");
  running.read_until("got it");
  EXPECT_EQ(running.finish().status, 5);
}

TEST(Terminal, GivesAShellJobControl) {
  const Tool tool;
  Running running = tool.start_on_terminal({"shell"});
  running.type("sleep 300\n");
  running.read_until("sleep 300");
  ::usleep(300'000);
  running.type("\x1a");
  running.read_until("Stopped");
  running.type("kill %1; fg; echo over$((1+1))\n");
  running.read_until("over2");
  running.type("exit 6\n");
  EXPECT_EQ(running.finish().status, 6);
}

TEST(Terminal, IsRestoredWhenTheProgramEnds) {
  const Tool tool;
  Running running = tool.start_on_terminal(
      {"run", "--", "sh", "-c", "stty raw -echo; echo ready; exec sleep 0.2"});
  running.read_until("ready");
  EXPECT_EQ(local_modes(running.terminal()) & kCooked, 0U);
  EXPECT_TRUE(becomes_cooked(running.terminal()));
  EXPECT_EQ(running.finish().status, 0);
}

TEST(Terminal, IsRestoredAfterSigterm) {
  const Tool tool;
  Running running = tool.start_on_terminal({"run", "--", "sh", "-c", "echo ready; exec sleep 300"});
  running.read_until("ready");
  ASSERT_EQ(local_modes(running.terminal()) & kCooked, 0U);
  ASSERT_EQ(::kill(running.pid(), SIGTERM), 0);
  EXPECT_TRUE(becomes_cooked(running.terminal()));
  EXPECT_EQ(running.finish().status, 128 + SIGTERM);
}

TEST(Terminal, IsRestoredWhenTheToolCrashes) {
  const Tool tool;
  Running running = tool.start_on_terminal({"run", "--", "sh", "-c", "echo ready; exec sleep 300"});
  running.read_until("ready");
  ASSERT_EQ(::kill(running.pid(), SIGSEGV), 0);
  EXPECT_TRUE(becomes_cooked(running.terminal()));
  EXPECT_EQ(running.finish().status, 128 + SIGSEGV);
}

TEST(Terminal, IsRestoredWhileStoppedAndTakenAgainAfterwards) {
  const Tool tool;
  Running running =
      tool.start_on_terminal({"run", "--", "sh", "-c", "echo ready; read line; echo \"<$line>\""});
  running.read_until("ready");
  ASSERT_EQ(::kill(running.pid(), SIGTSTP), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(running.pid(), &status, WUNTRACED), running.pid());
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_TRUE(becomes_cooked(running.terminal()));
  ASSERT_EQ(::kill(running.pid(), SIGCONT), 0);
  while ((local_modes(running.terminal()) & kCooked) != 0) ::usleep(10'000);
  running.type("typed\r");
  running.read_until("<typed>");
  EXPECT_EQ(running.finish().status, 0);
}

TEST(Terminal, IsLeftAloneWhereAPipeIsInItsPlace) {
  const Tool tool;
  Running running = tool.start_on_terminal({"run", "--", "sh", "-c", "test -t 0; echo \"$?\""});
  running.read_until("0");
  EXPECT_EQ(running.finish().status, 0);
  // Input from a pipe, output on the terminal.
  const Finished mixed =
      tool.outside_on_terminal({"/bin/bash", "-c",
                                "echo piped | '" + tool.tool() +
                                    "' run -- sh -c 'cat; test -t 0 || test -t 1 && echo mixed'"});
  EXPECT_NE(mixed.out.find("piped"), std::string::npos) << mixed.out;
  EXPECT_NE(mixed.out.find("mixed"), std::string::npos) << mixed.out;
}

class Guarded : public ::testing::Test {
 protected:
  void SetUp() override {
    tool.write(tool.workspace() + "/secret", "the secret", 0600);
    policy = tool.write(tool.home() + "/policy.toml",
                        "[guard]\nenabled = true\npaths = [\"./secret\"]\n", 0600);
  }
  Tool tool;
  std::string policy;
};

TEST_F(Guarded, FilesAreReadOnlyWhenTheUserSaysSo) {
  Running running = tool.start_on_terminal(
      {"run", "--policy", policy, "--", "sh", "-c", "cat secret; echo; echo status=$?"});
  const std::string question = running.read_until("(denied in");
  EXPECT_NE(question.find("read " + tool.workspace() + "/secret"), std::string::npos) << question;
  EXPECT_NE(question.find("cat secret"), std::string::npos) << question;
  running.read_until(") ");
  running.type("o\n");
  running.read_until("the secret");
  EXPECT_EQ(running.finish().status, 0);
}

TEST_F(Guarded, FilesStayHiddenWhenTheUserSaysNoOrAnythingElse) {
  for (const char* answer : {"d\n", "\n", "yes\n"}) {
    Running running = tool.start_on_terminal(
        {"run", "--policy", policy, "--", "sh", "-c", "cat secret || echo refused"});
    running.read_until("(denied in");
    running.read_until(") ");
    running.type(answer);
    running.read_until("refused");
    EXPECT_EQ(running.finish().status, 0);
  }
}

TEST_F(Guarded, WhatWasTypedBeforeTheQuestionIsNoAnswer) {
  Running running = tool.start_on_terminal({"run", "--policy", policy, "--", "sh", "-c",
                                            "echo ready; sleep 1; cat secret || echo refused"});
  running.read_until("ready");
  running.type("s\ns\ns\n");
  running.read_until("(denied in");
  running.read_until(") ");
  running.type("d\n");
  running.read_until("refused");
  EXPECT_EQ(running.finish().status, 0);
}

TEST_F(Guarded, FilesStayHiddenWhereNobodyCanBeAsked) {
  const Finished ran =
      tool.run({"run", "--policy", policy, "--", "sh", "-c", "cat secret || echo refused"});
  EXPECT_EQ(ran.out, "refused\n") << ran.err;
  EXPECT_NE(ran.err.find("no terminal to ask on"), std::string::npos) << ran.err;
}

TEST(Terminal, PassesMuchOutputWithoutLoss) {
  const Tool tool;
  Running running = tool.start_on_terminal({"run", "--", "sh", "-c", "seq 1 20000; echo end"});
  const std::string seen = running.read_until("end\r\n");
  std::size_t at = 0;
  for (int i = 1; i <= 20000; ++i) {
    at = seen.find(std::to_string(i) + "\r\n", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_EQ(running.finish().status, 0);
}

}  // namespace
}  // namespace oqto::sandbox_cli
