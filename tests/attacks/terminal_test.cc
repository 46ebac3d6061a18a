// Attacks on the terminal that a session shares with a person.
#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

TEST_P(Attack, TypingIntoATerminal) {
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"tiocsti", "0x5412"}), "open\n");
  expect_closed_in_every_spelling({"tiocsti", "0x5412"}, 1, "EPERM", kRoot);
}

TEST_P(Attack, PastingThroughTheConsole) {
  for (const char* spelling : {"0x541c", "0x10000541c", "0xffffffff0000541c"}) {  // TIOCLINUX
    EXPECT_NE(outside(kRoot, {"tiocsti", spelling}), "closed: EPERM\n");
    EXPECT_EQ(inside({"tiocsti", spelling}), "closed: EPERM\n") << spelling;
  }
}

TEST_P(Attack, LoadingALineDiscipline) {
  EXPECT_EQ(outside(kRoot, {"line-discipline", "0"}), "open\n");
  EXPECT_EQ(inside({"line-discipline", "2"}), "closed: EPERM\n");   // N_MOUSE
  EXPECT_EQ(inside({"line-discipline", "21"}), "closed: EPERM\n");  // N_GSM0710
}

TEST_P(Attack, TakingTheConsoleAndAnothersTerminal) {
  expect_closed({"steal-terminal"}, "EPERM", kRoot);
  EXPECT_TRUE(is_closed(inside({"console"})));
  EXPECT_EQ(inside({"pty"}), "open\n");  // its own terminals work
}

}  // namespace
}  // namespace oqto::sandbox
