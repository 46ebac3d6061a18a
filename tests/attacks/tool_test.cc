// The same attacker in a sandbox of the stand-alone tool, on the user who started it.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox_cli/test_tool.h"

namespace oqto::sandbox_cli {
namespace {

namespace fs = std::filesystem;

TEST(ToolAttack, OnTheUsersHome) {
  const Tool tool;
  for (const char* name : {"/.ssh/id_ed25519", "/.netrc", "/.aws/credentials", "/.git-credentials",
                           "/.config/gh/hosts.yml", "/.bash_history", "/.docker/config.json"}) {
    tool.make_directory(fs::path(tool.home() + name).parent_path());
    tool.write(tool.home() + name, "secret\n", 0600);
    EXPECT_EQ(tool.outside({"/bin/cat", tool.home() + name}).out, "secret\n");
    const Finished ran = tool.sandboxed({"cat", tool.home() + name});
    EXPECT_EQ(ran.out, "") << name;
    EXPECT_NE(ran.status, 0) << name;
  }
  // What is written there is not what the user's shell reads.
  (void)tool.shell("echo evil >> ~/.bashrc; mkdir -p ~/.config/systemd/user ~/.local/bin; "
                   "echo evil > ~/.local/bin/git; echo evil > ~/.config/systemd/user/x.service");
  for (const char* name : {"/.bashrc", "/.local/bin/git", "/.config/systemd/user/x.service"}) {
    EXPECT_FALSE(fs::exists(tool.home() + name)) << name;
  }
}

TEST(ToolAttack, AWorkspaceThatWouldBeTheWholeHome) {
  const Tool tool;
  for (const std::string& whole : {tool.home(), std::string("/"), std::string("/etc"), std::string("/usr")}) {
    const Finished ran = tool.run({"run", "--workspace", whole, "--", "true"});
    EXPECT_EQ(ran.status, 2) << whole;
    EXPECT_NE(ran.err, "") << whole;
  }
}

TEST(ToolAttack, AWorkspacesFileThatTurnsTheSandboxOff) {
  const Tool tool;
  tool.make_directory(tool.workspace() + "/.oqto");
  for (const char* text : {"enabled = false\n", "extra_rw_bind = [\"~\"]\n", "profile = \"nothing\"\n", "]["}) {
    tool.write(tool.workspace() + "/.oqto/sandbox.toml", text);
    const Finished ran = tool.sandboxed({"sh", "-c", "echo started"});
    EXPECT_EQ(ran.status, 2) << text;
    EXPECT_EQ(ran.out, "") << text;
    EXPECT_NE(ran.err.find("sandbox.toml:1"), std::string::npos) << ran.err;
  }
}

TEST(ToolAttack, AProgramThatStartsTheToolAgain) {
  const Tool tool;
  const Finished ran = tool.shell("cp /proc/self/exe x 2>/dev/null; command -v oqto-sandbox bwrap; "
                                  "bwrap --ro-bind / / true; echo $?");
  EXPECT_EQ(ran.out.find("\n0\n"), std::string::npos) << ran.out << ran.err;
}

TEST(ToolAttack, LeavesNothingBehindWhenItIsKilled) {
  const Tool tool;
  tool.write(tool.workspace() + "/kept", "x");
  {
    Running running = tool.start({"run", "--", "sh", "-c", "echo ready; sleep 1000"});
    (void)running.read_until("ready");
    ASSERT_EQ(::kill(running.pid(), SIGKILL), 0);
    (void)running.finish();
  }
  const auto count = [&] {
    std::error_code vanished;  // what the janitor is removing at this moment
    int found = 0;
    for (fs::recursive_directory_iterator at(tool.workspace(), vanished), end; at != end;
         at.increment(vanished)) {
      ++found;
    }
    return vanished ? 2 : found;
  };
  for (int i = 0; i < 300 && count() > 1; ++i) ::usleep(10'000);
  EXPECT_EQ(count(), 1);
}

}  // namespace
}  // namespace oqto::sandbox_cli
