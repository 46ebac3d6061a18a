// Terminals: job control, ctrl-C, window sizes; and programs that watch or stay.
#include <fstream>

#include "tests/compat/compat.h"

namespace oqto::sandbox {
namespace {

using WorksOnATerminal = Works;

TEST_F(WorksOnATerminal, JobControlOfBash) {
  Terminal terminal(*session, {"/bin/bash", "--norc", "--noprofile", "-i"}, 24, 80);
  ASSERT_TRUE(terminal.type("", "ready> ")) << terminal.seen();
  EXPECT_EQ(terminal.seen().find("no job control"), std::string::npos) << terminal.seen();
  EXPECT_TRUE(terminal.type("bash -c 'echo run$((1+1)); sleep 1000'\n", "run2")) << terminal.seen();
  EXPECT_TRUE(terminal.type("\x1a", "Stopped")) << terminal.seen();
  EXPECT_TRUE(terminal.type("bg\n", "sleep 1000' &")) << terminal.seen();
  EXPECT_TRUE(terminal.type("jobs\n", "Running")) << terminal.seen();
  EXPECT_TRUE(terminal.type("kill %1; wait; echo over$((1+1))\n", "over2")) << terminal.seen();
}

TEST_F(WorksOnATerminal, InterruptingWithCtrlC) {
  Terminal terminal(*session, {"/bin/bash", "--norc", "--noprofile", "-i"}, 24, 80);
  ASSERT_TRUE(terminal.type("", "ready> ")) << terminal.seen();
  // The program says that it runs, so ctrl-C reaches it and not the shell.
  EXPECT_TRUE(terminal.type("bash -c 'echo run$((1+1)); sleep 1000'\n", "run2")) << terminal.seen();
  EXPECT_TRUE(terminal.type("\x03", "ready> ")) << terminal.seen();
  EXPECT_TRUE(terminal.type("echo status=$?\n", "status=130")) << terminal.seen();
}

TEST_F(WorksOnATerminal, ChangingTheSizeOfTheWindow) {
  Terminal terminal(*session, {"/bin/bash", "--norc", "--noprofile", "-i"}, 24, 80);
  ASSERT_TRUE(terminal.type("", "ready> ")) << terminal.seen();
  EXPECT_TRUE(terminal.type("stty size\n", "24 80")) << terminal.seen();
  EXPECT_TRUE(terminal.type("trap 'echo resized to $(stty size)' WINCH; echo set$((1+1))\n", "set2"));
  ASSERT_TRUE(terminal.resize(50, 132));
  EXPECT_TRUE(terminal.type("\n", "resized to 50 132")) << terminal.seen();
}

TEST_F(WorksOnATerminal, TheTerminalHasANameAndIsTheControllingOne) {
  Terminal terminal(*session, {"/bin/bash", "--norc", "--noprofile", "-i"}, 24, 80);
  EXPECT_TRUE(terminal.type("tty; echo to-tty > /dev/tty\n", "/dev/")) << terminal.seen();
  EXPECT_TRUE(terminal.type("", "to-tty")) << terminal.seen();
  EXPECT_TRUE(terminal.type("script -qec 'tty' /dev/null; echo end$((1+1))\n", "end2"))
      << terminal.seen();
}

// --- what stays, and what is refused -------------------------------------------------------------

TEST_F(Works, ADevelopmentServerThatAnotherProgramReaches) {
  NEEDS(possible::with_program("python3"));
  NEEDS(possible::with_program("curl"));
  std::ofstream(session->workspace() + "/page") << "served";
  Fd io;
  session->launch({"/usr/bin/python3", "-u", "-m", "http.server", "8123", "--bind", "127.0.0.1"}, &io);
  expect_says("curl -sS --retry 50 --retry-delay 1 --retry-connrefused http://127.0.0.1:8123/page "
              "2>/dev/null; echo; curl -sS http://localhost:8123/page; echo",
              "served\nserved\n");
}

TEST_F(Works, AServerGoesOnWhenTheProgramThatStartedItHasEnded) {
  expect_says("(setsid nohup python3 -m http.server 8124 >/dev/null 2>&1 &); echo started",
              "started\n");
  expect_says("curl -sS -o /dev/null --retry 50 --retry-delay 1 --retry-connrefused "
              "http://127.0.0.1:8124/ 2>/dev/null && echo there",
              "there\n");
}

TEST_F(Works, StraceSaysClearlyThatItMayNot) {
  NEEDS(possible::with_program("strace"));
  const Ran ran = script("strace -o /tmp/trace true");
  EXPECT_NE(ran.exit_status, 0);
  EXPECT_NE(ran.output.find("Operation not permitted"), std::string::npos) << ran.output;
}

}  // namespace
}  // namespace oqto::sandbox
