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

// Without a `.git`, git takes a directory with these in it for a repository, and runs what its
// configuration says: in a shell's prompt already.
constexpr const char* kMakeBareRepository =
    "mkdir -p $DIR/objects $DIR/refs; echo 'ref: refs/heads/main' > $DIR/HEAD; "
    "printf '[core]\nrepositoryformatversion = 0\nbare = false\nworktree = .\n"
    "fsmonitor = \"touch obeyed; false\"\n' > $DIR/config";

TEST(ToolAttack, AWorkspaceThatLooksLikeABareRepository) {
  const std::string attack(kMakeBareRepository);
  // Also where some of it is the user's own.
  for (const std::string own : {"/src", "/refs", "/objects"}) {
    const Tool tool;
    const auto is_obeyed = [&](const std::string& directory) {
      (void)tool.outside({"/bin/sh", "-c", "cd " + directory + " && git status"});
      return fs::exists(directory + "/obeyed");
    };
    tool.make_directory(tool.home() + "/control");
    (void)tool.outside({"/bin/sh", "-c", "DIR=" + tool.home() + "/control; " + attack});
    EXPECT_TRUE(is_obeyed(tool.home() + "/control"));
    tool.make_directory(tool.workspace() + own);
    (void)tool.shell("DIR=.; " + attack);
    EXPECT_FALSE(is_obeyed(tool.workspace())) << own;
    for (const char* part : {"/refs", "/objects"}) {
      EXPECT_EQ(fs::exists(tool.workspace() + part) && !fs::is_directory(tool.workspace() + part), false);
    }
  }
}

TEST(ToolAttack, WhatKeepsABareRepositoryAwayIsInNobodysWay) {
  const Tool tool;
  const Finished ran = tool.shell(
      "git init -q . && echo x > f && git add -A && git -c user.name=a -c user.email=a@b commit -qm f "
      "&& git diff HEAD && git status --porcelain && git ls-files && git log --format=%s HEAD");
  EXPECT_EQ(ran.out, "f\nf\n") << ran.err;
}

TEST(ToolAttack, ABareRepositoryAsWorkspace) {
  const Tool tool;
  (void)tool.outside({"/bin/sh", "-c", "git init -q --bare " + tool.workspace()});
  EXPECT_EQ(tool.shell("echo x > description && echo ok").out, "ok\n");
  for (const char* attack : {"echo x > hooks/post-update", "git config core.fsmonitor ./evil",
                             "mv hooks h", "rm -f config", "echo x >> config"}) {
    EXPECT_NE(tool.shell(attack).status, 0) << attack;
  }
}

// Hooks outside of `.git`: where the user's own configuration, or that of the repository around the
// workspace, says that they are.
TEST(ToolAttack, OnHooksThatTheUsersConfigurationNames) {
  const struct {
    const char* configure;  // in the home
    const char* hook;       // in the workspace
  } all[] = {
      {"git -C project config core.hooksPath '~/project/.githooks'", ".githooks/pre-commit"},
      {"git config --global core.hooksPath .githooks", ".githooks/pre-commit"},
      {"mkdir -p dot && git config -f dot/inc core.hooksPath .h && ln -s dot/inc inc && "
       "git config --global include.path '~/inc'",
       ".h/pre-commit"},
      {"rm -rf project/.git && git init -q . && git config core.hooksPath project/.husky",
       ".husky/pre-commit"},
  };
  for (const auto& [configure, hook] : all) {
    const Tool tool;
    const std::string begin = "cd " + tool.home() + " && export HOME=$PWD && git init -q project && ";
    const Finished configured = tool.outside({"/bin/sh", "-c", begin + configure});
    ASSERT_EQ(configured.status, 0) << configured.err;
    const std::string directory = fs::path(hook).parent_path();
    EXPECT_NE(tool.shell("mkdir -p " + directory + "; echo x > " + hook).status, 0) << configure;
    EXPECT_EQ(tool.shell("echo x > free && echo ok").out, "ok\n");
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
