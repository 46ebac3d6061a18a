// Git inside and outside, with real repositories: it works, and nothing that another user's git
// would execute or obey can be planted.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/world/git_config.h"
#include "sandbox/world/test_world.h"

namespace oqto::sandbox {
namespace {

constexpr const char* kWho =
    "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; ";

// mv(1) copies and deletes where it cannot rename, and deleting is the agent's right.
constexpr const char* kAttack =
    "exec 2>&1; mv() { python3 -c 'import os,sys; os.rename(sys.argv[-2], sys.argv[-1])' \"$@\"; "
    "}; ";

std::string git(const std::string& script) {
  return std::string(kWho) + script;
}

void expect_fine(const Ran& ran, const std::string& what) {
  EXPECT_EQ(ran.exit_status, 0) << what << "\n" << ran.output;
}

void make_repository(TestWorld& at) {
  expect_fine(at.outside(git("git init -q -b main . && echo 1 > f && git add f && "
                             "git commit -qm first")),
              "making a repository");
}

TEST(Git, WorksInsideAnExistingRepository) {
  TestWorld at;
  make_repository(at);
  ASSERT_EQ(at.start(), "");
  for (const char* command :
       {"git status --short", "echo 2 > f && git add f && git commit -qm second",
        "git checkout -qb branch && git commit -q --allow-empty -m third && git checkout -q main",
        "git merge -q branch", "git stash list", "git tag v1", "git gc -q", "git log --oneline",
        "git worktree add -q wt && cd wt && echo w > w && git add w && git commit -qm w",
        "git worktree remove wt",
        "git init -q -b main --bare /tmp/remote.git && git push -q /tmp/remote.git main",
        "git clone -q . clone && cd clone && git commit -q --allow-empty -m c && git push -q . "
        "HEAD:refs/heads/x",
        "git -c protocol.file.allow=always clone -q . sup && cd sup && git -c "
        "protocol.file.allow=always submodule add -q /tmp/remote.git sub && git commit -qm sub && "
        "cd sub && git status --short",
        "git rebase -q HEAD~1", "git reset -q --hard HEAD", "git clean -qn",
        "git fsck --no-progress"}) {
    expect_fine(at.run(git(command)), command);
  }
  at.stop();
  expect_fine(at.outside(git("git log --oneline | grep -q second && git status --short")), "after");
  EXPECT_EQ(at.outside("ls -A .git | sort | tr '\\n' ' '").output.find("commondir"),
            std::string::npos);
}

TEST(Git, WorksOutsideWhileASandboxRuns) {
  TestWorld at;
  make_repository(at);
  ASSERT_EQ(at.start(), "");
  for (const char* command :
       {"git status --short", "echo 3 > f && git commit -qam outside", "git branch b",
        "git worktree add -q ../wt b && git -C ../wt commit -q --allow-empty -m w",
        "test \"$(git worktree list | head -1 | cut -d' ' -f1)\" = \"$PWD\"",
        "test \"$(git rev-parse --show-toplevel)\" = \"$PWD\"",
        "test \"$(git rev-parse --is-bare-repository)\" = false", "git config user.name x",
        "git remote add o /tmp/none", "git clone -q . ../copy", "git stash list", "git gc -q",
        "git worktree remove ../wt"}) {
    expect_fine(at.outside(git(command)), command);
  }
  at.stop();
  EXPECT_EQ(at.outside("git config user.name; ls -A .git").output.find("commondir"),
            std::string::npos);
  expect_fine(at.outside(git("git status --short && git commit -qam more --allow-empty")), "after");
}

TEST(Git, ARepositoryMadeInsideLastsAndStaysTheAgents) {
  TestWorld at;
  at.write(at.workspace() + "/f", "x");
  ASSERT_EQ(at.start(), "");
  expect_fine(at.run(git("git status 2>&1 | grep -q 'not a git repository'")), "none yet");
  expect_fine(at.run(git("git init -q . && git add f && git commit -qm inside && git status")),
              "init");
  EXPECT_NE(at.outside("git log").exit_status, 0);  // somebody else's git sees no repository
  at.stop();
  EXPECT_EQ(at.outside("ls -A").output, "f\n");
  ASSERT_EQ(at.start(), "");
  expect_fine(at.run("git log --oneline | grep inside"), "the next session");
}

TEST(Git, NothingThatOthersExecuteCanBePlanted) {
  TestWorld at;
  make_repository(at);
  at.make_directory(at.workspace() + "/d");
  ASSERT_EQ(at.start(), "");
  for (const char* attack : {"echo x > .git/hooks/pre-commit",
                             "mkdir .git/hooks/x",
                             "mv .git/hooks .git/h",
                             "rm -rf .git/hooks",
                             "git config core.fsmonitor ./evil",
                             "echo x >> .git/config",
                             "mv .git/config .git/c",
                             "rm -f .git/config",
                             "cp f .git/config",
                             "mv f .git/config",
                             "ln -f f .git/config",
                             "mv .git g",
                             "mv -T d .git",
                             "echo /tmp/evil > .git/commondir",
                             "rm -f .git/commondir",
                             "mv f .git/commondir",
                             "echo x > .git/config.worktree",
                             "ln .git/config stolen",
                             "ln -s /tmp .git/hooks/l",
                             "git config --file .git/config alias.x '!evil'",
                             "python3 -c \"import os; os.open('.git/config', os.O_RDWR)\"",
                             "python3 -c \"import ctypes,sys; l=ctypes.CDLL(None,use_errno=True); "
                             "sys.exit(l.renameat2(-100,b'd',-100,b'.git',2) != 0)\""}) {
    EXPECT_NE(at.run(std::string(kAttack) + attack).exit_status, 0) << attack;
  }
  at.stop();
  expect_fine(at.outside(git("git commit -q --allow-empty -m after && git fsck --no-progress")),
              "after");
}

TEST(Git, NoHookCanBePlantedWhereThereIsNoRepository) {
  TestWorld at;
  ASSERT_EQ(at.start(), "");
  EXPECT_NE(at.run("mkdir -p .git/hooks && echo x > .git/hooks/pre-commit").exit_status, 0);
  EXPECT_NE(at.run("mv .git x").exit_status, 0);
  EXPECT_EQ(at.say("git init -q . && mkdir -p .git/more && echo x > .git/more/file && echo ok"),
            "ok");
  at.stop();
  EXPECT_EQ(at.outside("ls -A").output, "");
}

TEST(Git, WhatTheConfigurationNamesIsProtectedToo) {
  TestWorld at;
  make_repository(at);
  at.write(at.workspace() + "/.githooks/pre-commit", "#!/bin/sh\n");
  at.write(at.workspace() + "/shared/git.inc", "[core]\n\tfsmonitor = tools/watch \"x y\"\n");
  at.write(at.workspace() + "/tools/watch", "#!/bin/sh\n");
  expect_fine(at.outside("git config core.hooksPath .githooks; git config include.path "
                         "../shared/git.inc"),
              "config");
  ASSERT_EQ(at.start(), "");
  for (const char* attack : {"echo x > .githooks/pre-commit", "echo x > .githooks/post-commit",
                             "mv .githooks g", "echo x >> shared/git.inc", "mv shared s",
                             "echo x > tools/watch", "rm -f tools/watch", "mv tools t"}) {
    EXPECT_NE(at.run(std::string(kAttack) + attack).exit_status, 0) << attack;
  }
  EXPECT_EQ(at.say("touch tools/free shared/free && echo ok"), "ok");
}

TEST(Git, ALinkedWorktreeIsFollowedOnlyIfTheRepositoryNamesIt) {
  TestWorld at;
  const std::string main = at.home() + "/main";
  at.make_directory(main);
  expect_fine(at.outside(git("cd ../main && git init -q -b main . && echo 1 > f && git add f && "
                             "git commit -qm first && rmdir ../project && git worktree add -q "
                             "../project -b wt")),
              "making a worktree");
  ASSERT_EQ(at.start(), "");
  expect_fine(at.run(git("echo 2 > f && git commit -qam inside && git status")), "inside");
  for (const char* attack :
       {"echo gitdir: /tmp/x > .git", "rm -f .git", "mv .git g", "echo x > $m/hooks/x",
        "echo x >> $m/config", "echo x > $m/worktrees/project/commondir",
        "echo x > $m/worktrees/project/config.worktree", "mv $m/worktrees/project x",
        "cat $m/../f"}) {
    EXPECT_NE(at.run(kAttack + ("m=" + main) + "/.git; " + attack).exit_status, 0) << attack;
  }
  at.stop();
  expect_fine(at.outside(git("git log --oneline | grep inside")), "after");

  // A file that points at somebody else's repository opens nothing.
  TestWorld thief;
  thief.make_directory(thief.home() + "/victim");
  expect_fine(
      thief.outside(git("cd ../victim && git init -q . && git commit -q --allow-empty -m v")),
      "victim");
  thief.write(thief.workspace() + "/.git", "gitdir: " + thief.home() + "/victim/.git\n");
  ASSERT_EQ(thief.start(), "");
  EXPECT_NE(thief.run("git log").exit_status, 0);
  EXPECT_NE(thief.run("ls " + thief.home() + "/victim").exit_status, 0);
}

TEST(Git, ASubmoduleAsWorkspaceWorks) {
  TestWorld at;
  expect_fine(
      at.outside(git("cd .. && git init -q lib && git -C lib commit -q --allow-empty -m l && "
                     "git init -q super && cd super && git -c protocol.file.allow=always "
                     "submodule add -q ../lib lib && git commit -qm s")),
      "submodule");
  const std::string sub = at.home() + "/super/lib";
  at.world.workspace = {sub, {}, sub};
  ASSERT_EQ(at.start(), "");
  expect_fine(
      at.run(git("git commit -q --allow-empty -m inside && git log --oneline | grep inside")),
      "inside");
  EXPECT_NE(at.run("echo x >> ../.git/modules/lib/config").exit_status, 0);
  EXPECT_NE(at.run("ls ../.git/config").exit_status, 0);
}

TEST(Git, ModulesAndWorktreesOfARepositoryAreProtected) {
  TestWorld at;
  make_repository(at);
  expect_fine(
      at.outside(git("git init -q ../lib && git -C ../lib commit -q --allow-empty -m l && git -c "
                     "protocol.file.allow=always submodule add -q ../lib deep/lib && git "
                     "commit -qm s && git worktree add -q ../wt")),
      "submodule");
  ASSERT_EQ(at.start(), "");
  expect_fine(
      at.run(git("cd deep/lib && git commit -q --allow-empty -m in && cd ../.. && git add . && "
                 "git commit -qm up && git submodule status")),
      "inside");
  for (const char* attack :
       {"echo x >> .git/modules/deep/lib/config", "echo x > .git/modules/deep/lib/hooks/p",
        "mv .git/modules/deep/lib .git/modules/deep/x", "mv .git/modules m",
        "echo /tmp > .git/worktrees/wt/commondir", "mv .git/worktrees/wt .git/worktrees/x",
        "echo x > .git/modules/deep/lib/commondir",
        // What says which repository git enters there.
        "rm -f deep/lib/.git", "echo gitdir: /tmp/evil > deep/lib/.git", "mv deep/lib deep/x",
        "mv f deep/lib/.git", "mv deep d"}) {
    EXPECT_NE(at.run(std::string(kAttack) + attack).exit_status, 0) << attack;
  }
}

TEST(Git, LinksThatAnAgentLeftInItsOwnModulesDoNotKeepASessionFromStarting) {
  TestWorld at;
  make_repository(at);
  expect_fine(
      at.outside(git("mkdir -p .git/modules/m/objects "
                     ".git/worktrees/w && echo > .git/modules/m/HEAD && ln -s /tmp "
                     ".git/modules/m/hooks && ln -s /tmp .git/worktrees/w/commondir && "
                     "mkdir -p .git/modules/n/objects real && echo > .git/modules/n/HEAD && "
                     "echo > real/.git && ln -s real link && "
                     "git config -f .git/modules/n/config core.worktree ../../../link")),
      "planting");
  ASSERT_EQ(at.start(), "");
  EXPECT_NE(at.run("touch .git/modules/m/x || rm .git/worktrees/w/commondir").exit_status, 0);
}

TEST(Git, WhatStandsInThePlaceOfTheAgentsRepositoryIsMovedAside) {
  TestWorld at;
  ASSERT_EQ(::symlink("/tmp", at.world.git_store.c_str()), 0);
  ASSERT_EQ(::lchown(at.world.git_store.c_str(), at.uid(), at.uid()), 0);
  ASSERT_EQ(at.start(), "");
  expect_fine(at.run("git init -q ."), "init");
  EXPECT_TRUE(at.exists(at.world.git_store + "/HEAD"));
}

TEST(Git, ADotGitThatIsALinkIsRefused) {
  TestWorld at;
  ASSERT_EQ(::symlink("/tmp", (at.workspace() + "/.git").c_str()), 0);
  EXPECT_NE(at.start().find("symbolic link"), std::string::npos);
}

// What git itself says that a file says: "section.sub.key\nvalue\0" for each.
std::string as_git_lists(std::string_view text) {
  std::string all;
  for (const GitSetting& setting : parse_git_config(text)) {
    all += setting.section + (setting.subsection.empty() ? "" : "." + setting.subsection) + '.' +
           setting.key;
    if (setting.has_value) all += '\n' + setting.value;
    all += '\0';
  }
  return all;
}

TEST(GitConfig, ReadsWhatGitReads) {
  const std::string file = "/tmp/oqto-git-config-" + std::to_string(::getpid());
  for (const std::string text :
       {"[core]\n\thooksPath = a b \n", "[core]\nhookspath = \"a b \" ; c\n",
        "[include \"x\\\"y\\\\z\"] path=c\\\n d # e\n", "[Remote.Old]\nURL = a\\tb\\n\\\"\n",
        "# c\n; d\n[a]\n bare\n bare2 # x\n", "[a]x=1\n[b] y = 2 [c]\n", "\xef\xbb\xbf[a]\nk=v\n",
        "[a]\r\nk = v\r\nl = \"w\"\r\n", "[a]\nk = \"one\" two  \"three \"\n",
        "[a]\nk =\n\n\nl=\t\n", "[core]\nk = a;b\nl = a#b\n", "[core]\n  k\\\n = v\n",
        "[a]\nk = x\\\n\\\ny\n", "[a-b.C]\nk-1=v\n"}) {
    ASSERT_EQ(run_outside(0, {"/bin/bash", "-c", "cat > " + file + " <<'EOF'\n" + text + "EOF"})
                  .exit_status,
              0);
    // The here-document ends each text with a line's end, as ours must then.
    const Ran git = run_outside(0, {"/usr/bin/git", "config", "--file", file, "--list", "-z"});
    if (git.exit_status != 0) continue;  // git stops at the mistake; what was before it counts
    EXPECT_EQ(as_git_lists(text), git.output) << text;
  }
  (void)::unlink(file.c_str());
}

TEST(GitConfig, StopsAtAMistakeAndKeepsWhatWasBefore) {
  EXPECT_EQ(parse_git_config("[a]\nk=1\n[bad\nl=2\n").size(), 1U);
  EXPECT_EQ(parse_git_config("k=1\n").size(), 1U);
  EXPECT_TRUE(parse_git_config("[a]\nk=\"open\n").empty());
}

}  // namespace
}  // namespace oqto::sandbox
