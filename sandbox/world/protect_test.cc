// Denials: what is hidden or read-only stays so, whatever lies within what, whatever is absent, and
// whoever moves things. Real sandboxes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/world/test_world.h"

namespace oqto::sandbox {
namespace {

using Items = std::vector<std::string>;

TEST(Denials, ADeniedFileAndDirectoryShowNothing) {
  TestWorld at;
  at.write(at.workspace() + "/.env", "secret");
  at.write(at.workspace() + "/keys/a", "secret");
  at.world.policy.deny_read.values = {"./.env", "./keys"};
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("cat .env 2>&1 | grep -c denied; ls -A keys"), "1");
  EXPECT_NE(at.run("chmod 600 .env || echo x > keys/b").exit_status, 0);
  EXPECT_NE(at.run("mv keys k").exit_status, 0);
  EXPECT_NE(at.run("rm -f .env").exit_status, 0);
  EXPECT_NE(at.run("ln .env other").exit_status, 0);
}

TEST(Denials, ADeniedPathIsHiddenUnderEveryNameThatAMountGivesIt) {
  TestWorld at;
  at.write(at.workspace() + "/keys/a", "secret");
  at.world.workspace.inside = "/workspace";
  at.world.policy.deny_read.values = {"./keys"};
  at.world.policy.allow_read.values = {at.home()};  // shows the workspace once more
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("ls -A /workspace/keys " + at.workspace() + "/keys | grep -c a$"), "1: 0");
}

TEST(Denials, WinOverGrantsInEveryOrder) {
  TestWorld at;
  at.write(at.dir() + "/data/a/b/c/file", "x");
  at.world.policy.allow_write.values = {at.dir() + "/data", at.dir() + "/data/a/b"};
  at.world.policy.allow_read.values = {at.dir() + "/data/a/b/c"};
  at.world.policy.deny_write.values = {at.dir() + "/data/a"};
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("cat " + at.dir() + "/data/a/b/c/file; touch " + at.dir() + "/data/free"), "x");
  for (const char* below : {"a", "a/b", "a/b/c"}) {
    EXPECT_NE(at.run("touch " + at.dir() + "/data/" + below + "/new").exit_status, 0) << below;
  }
  TestWorld hidden;
  hidden.write(hidden.dir() + "/data/a/b/file", "x");
  hidden.world.policy.allow_read.values = {hidden.dir() + "/data", hidden.dir() + "/data/a/b"};
  hidden.world.policy.deny_read.values = {hidden.dir() + "/data/a"};
  ASSERT_EQ(hidden.start(), "");
  EXPECT_NE(hidden.run("cat " + hidden.dir() + "/data/a/b/file").exit_status, 0);
}

TEST(Denials, ANestedDenialBelowAnotherIsNoWayOut) {
  TestWorld at;
  at.write(at.workspace() + "/a/b/c/file", "x");
  at.world.policy.deny_write.values = {"./a", "./a/b/c"};
  at.world.policy.deny_read.values = {"./a/b"};
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("ls -A a; ls -A a/b"), "b");
  EXPECT_NE(at.run("touch a/x").exit_status, 0);
}

TEST(Denials, AReadOnlyWorkspaceIsReadOnly) {
  TestWorld at;
  at.write(at.workspace() + "/a/file", "x");
  at.world.policy.deny_write.values = {"."};
  ASSERT_EQ(at.start(), "");
  EXPECT_EQ(at.say("cat a/file; touch x a/y 2>/dev/null || echo no"), "xno");
}

TEST(Denials, WhatAppearsLaterWhereItIsDeniedStaysHidden) {
  TestWorld at;
  at.world.policy.deny_read.values = {"./.env", "./later", "~/.aws", "~/.netrc"};
  at.world.policy.allow_read.values = {"~"};
  ASSERT_EQ(at.start(), "");
  ASSERT_EQ(at.outside("echo s > .env; mkdir -p later ~/.aws; echo s > later/a; echo s > ~/.aws/c;"
                       "echo s > ~/.netrc")
                .exit_status,
            0);
  EXPECT_EQ(at.say("ls -A later ~/.aws; cat .env ~/.netrc 2>&1 | grep -c denied"),
            at.home() + "/.aws:\n\nlater:\n2");
  at.stop();
  // It is somebody's now, and stays.
  EXPECT_EQ(at.outside("cat .env later/a ~/.aws/c ~/.netrc").output, "s\ns\ns\ns\n");
}

TEST(Denials, WhatIsAbsentAndProtectedCannotBeCreated) {
  TestWorld at;
  at.make_directory(at.workspace() + "/sub");
  at.world.policy.protect.values = {"./.oqto", "./.vscode/tasks.json", "./sub/config"};
  ASSERT_EQ(at.start(), "");
  for (const char* attack :
       {"mkdir -p .oqto/x", "touch .oqto/sandbox.toml", "rm -rf .oqto", "mv .oqto a",
        "mkdir .vscode; echo > .vscode/tasks.json", "mv .vscode b", "echo > sub/config",
        "mv sub sub2", "rm -r sub", "ln -s /tmp .oqto/l", "ln README .oqto/r",
        "mv --exchange sub other 2>/dev/null || mv -T sub other"}) {
    EXPECT_NE(at.run(std::string("touch README; mkdir -p other; ") + attack).exit_status, 0)
        << attack;
  }
  EXPECT_EQ(at.say("touch sub/free new && echo fine"), "fine");
}

TEST(Denials, StubsAreGoneAfterTheSandboxHoweverItEnds) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    TestWorld at;
    at.world.policy.deny_read.values = {"./secret", "./.env"};
    ASSERT_EQ(at.start(), "");
    EXPECT_TRUE(at.exists(at.workspace() + "/secret"));
    EXPECT_TRUE(at.exists(at.workspace() + "/.oqto"));
    at.stop(signal);
    EXPECT_EQ(at.outside("ls -A").output, "") << signal;
  }
}

TEST(Denials, AStubThatAnotherSandboxNeedsStays) {
  TestWorld at, other;
  other.world = at.world;
  other.world.home.outside.clear();
  ASSERT_EQ(at.start(), "");
  // The second one is the same user's: it runs with the first one's uid.
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresuid(at.uid(), at.uid(), at.uid()) != 0) ::_exit(9);
    const auto second = start_sandbox(other.world, {});
    if (!second) ::_exit(8);
    at.stop(0);
    ::pause();
  }
  for (int i = 0; i < 500 && processes_of(at.uid()).size() < 8; ++i) (void)::usleep(10'000);
  (void)::kill(at.starter(), SIGKILL);
  ::usleep(300'000);
  EXPECT_TRUE(at.exists(at.workspace() + "/.oqto"));
  (void)::kill(pid, SIGKILL);
  (void)::waitpid(pid, nullptr, 0);
  at.stop();
  EXPECT_FALSE(at.exists(at.workspace() + "/.oqto"));
}

TEST(Denials, AnOldStubIsAdoptedAndRemoved) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  // Everything at once, the janitor too: as when the machine is turned off.
  ASSERT_EQ(run_outside(0, {"/usr/bin/pkill", "-KILL", "-U", std::to_string(at.uid())}).exit_status,
            0);
  at.stop(SIGKILL);
  EXPECT_TRUE(at.exists(at.workspace() + "/.oqto"));
  ASSERT_EQ(at.start(), "");
  EXPECT_NE(at.run("touch .oqto/x").exit_status, 0);
  at.stop();
  EXPECT_EQ(at.outside("ls -A").output, "");
}

TEST(Denials, ADeniedLinkIsRefusedRatherThanFollowed) {
  TestWorld at;
  at.write(at.workspace() + "/real", "x");
  ASSERT_EQ(::symlink("real", (at.workspace() + "/link").c_str()), 0);
  at.world.policy.deny_read.values = {"./link"};
  const std::string why = at.start();
  EXPECT_NE(why.find("deny_read: `./link`"), std::string::npos) << why;
  EXPECT_NE(why.find("symbolic link"), std::string::npos) << why;
  EXPECT_EQ(at.outside("ls -A").output, "link\nreal\n");  // nothing was made on the way
}

TEST(Denials, AFileThatIsReplacedOutsideStaysDenied) {
  TestWorld at;
  at.write(at.workspace() + "/.env", "old");
  at.write(at.workspace() + "/settings.json", "old");
  at.world.policy.deny_read.values = {"./.env"};
  at.world.policy.protect.values = {"./settings.json"};
  ASSERT_EQ(at.start(), "");
  // As editors save: a new file takes the place of the old one.
  ASSERT_EQ(
      at.outside("echo new > a && mv a .env && echo new > b && mv b settings.json").exit_status, 0);
  ::usleep(200'000);
  EXPECT_EQ(at.errors(), "");
  EXPECT_EQ(at.say("echo alive"), "alive");
  EXPECT_NE(at.run("cat .env").exit_status, 0);
  EXPECT_NE(at.run("echo evil > settings.json").exit_status, 0);
}

TEST(Denials, AFileThatIsMovedAwayOrRemovedOutsideStaysDenied) {
  TestWorld at;
  for (const char* name : {"moved", "removed"}) at.write(at.workspace() + "/d/" + name, "old");
  at.write(at.workspace() + "/dir/file", "old");
  at.world.policy.deny_read.values = {"./d/moved"};
  at.world.policy.protect.values = {"./d/removed", "./dir"};
  ASSERT_EQ(at.start(), "");
  ASSERT_EQ(at.outside("mv d/moved d/backup; rm -r d/removed dir; sleep 0.2; echo new > d/moved")
                .exit_status,
            0);
  EXPECT_EQ(at.errors(), "");
  EXPECT_EQ(at.say("echo alive"), "alive");
  for (const char* attack : {"cat d/moved", "cat d/backup", "echo x > d/removed/x",
                             "echo x > d/removed", "mkdir -p dir/x", "mv d e", "rmdir dir"}) {
    EXPECT_NE(at.run(attack).exit_status, 0) << attack;
  }
  at.stop();
  EXPECT_EQ(at.outside("ls -A . d").output, ".:\nd\n\nd:\nbackup\nmoved\n");
}

TEST(Denials, ADeniedFileThatBecomesALinkEndsTheSandbox) {
  TestWorld at;
  at.write(at.workspace() + "/f", "old");
  at.world.policy.protect.values = {"./f"};
  ASSERT_EQ(at.start(), "");
  ASSERT_EQ(at.outside("ln -s /tmp l && mv -T l f; sleep 1").exit_status, 0);
  EXPECT_NE(at.errors().find("the sandbox ends"), std::string::npos);
  EXPECT_NE(at.say("echo alive"), "alive");
}

TEST(Denials, PathsToAskForAreHiddenAndNamed) {
  TestWorld at;
  at.write(at.workspace() + "/.env", "secret");
  at.world.policy.ask.values = {"prompt:./.env"};
  ASSERT_EQ(at.start(), "");
  EXPECT_NE(at.run("cat .env").exit_status, 0);
}

}  // namespace
}  // namespace oqto::sandbox
