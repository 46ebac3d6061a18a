// git in a session: in a repository that was there, in a new one, and with what it refuses.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/compat/compat.h"

namespace oqto::sandbox {
namespace {

constexpr const char* kWho =
    "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.test GIT_COMMITTER_NAME=a "
    "GIT_COMMITTER_EMAIL=a@example.test\n";

class WorksWithGit : public Works {
 protected:
  // A session whose workspace is a repository with one commit, made outside as its owner.
  void begin_in_repository() {
    session.reset();
    session = std::make_unique<TestSession>(TestSession::Options{});
    const Ran made = run_outside(
        session->uid(), {"/bin/bash", "-c",
                         "set -e; cd " + session->workspace() + "; export HOME=$PWD\n" + kWho +
                             "git -c init.defaultBranch=main init -q . && echo one > file && "
                             "git add file && git commit -qm first"});
    ASSERT_EQ(made.exit_status, 0);
    ASSERT_EQ(session->start(), "");
  }
  std::string outside(const std::string& command) {
    return run_outside(session->uid(), {"/bin/bash", "-c", "cd " + session->workspace() +
                                                               "; export HOME=$PWD; " + command})
        .output;
  }
};

TEST_F(WorksWithGit, InARepositoryThatWasThere) {
  begin_in_repository();
  expect_says(std::string(kWho) +
                  "git status --short; echo two >> file; git add file; git commit -qm second; "
                  "git log --format=%s; git checkout -q -b topic; git stash list; git tag v1; "
                  "git branch --format='%(refname:short)'; git gc -q; git fsck --no-progress",
              "second\nfirst\nmain\ntopic\n");
  EXPECT_EQ(outside("git log --format=%s topic; git status --short"), "second\nfirst\n");
}

TEST_F(WorksWithGit, CloneCommitPushAndPullBetweenRepositories) {
  begin_in_repository();
  expect_says(std::string(kWho) +
                  "git clone -q --bare . /tmp/origin.git; git clone -q /tmp/origin.git clone; cd clone; "
                  "echo x > x; git add x; git commit -qm cloned; git push -q origin HEAD; "
                  "git fetch -q; git pull -q --rebase; git log -1 --format=%s origin/main",
              "cloned\n");
}

TEST_F(WorksWithGit, WorktreesOfItsRepository) {
  begin_in_repository();
  expect_says(std::string(kWho) +
                  "git worktree add -q tree -b side; cd tree; echo y > y; git add y; "
                  "git commit -qm inside-tree; cd ..; git log -1 --format=%s side; "
                  "git worktree remove tree; git worktree list | wc -l",
              "inside-tree\n1\n");
}

TEST_F(WorksWithGit, ASubmoduleInsideAClone) {
  begin_in_repository();
  expect_says(std::string(kWho) +
                  "git clone -q --bare . /tmp/part.git; git clone -q . /workspace/whole; cd whole; "
                  "git -c protocol.file.allow=always submodule --quiet add /tmp/part.git part; "
                  "git commit -qm with-part; git submodule status | wc -l; cat part/file; "
                  "cd part; echo z > z; git add z; git commit -qm in-part; git log -1 --format=%s",
              "1\none\nin-part\n");
}

TEST_F(WorksWithGit, ANewRepositoryInAWorkspaceThatHadNone) {
  expect_says(std::string(kWho) +
                  "git -c init.defaultBranch=main init -q . ; echo a > a; git add a; git commit -qm new; "
                  "git log --format=%s",
              "new\n");
}

TEST_F(WorksWithGit, NoStubDisturbsItOutsideWhileASessionRuns) {
  begin_in_repository();
  EXPECT_EQ(outside("git status --short; git log --format=%s; git worktree list | wc -l; git fsck --no-progress"),
            "first\n1\n");
}

// A linked worktree as a hosted workspace: its repository lies elsewhere on the host, where a tenant's
// session has no business. git says so, and nothing else breaks.
TEST_F(WorksWithGit, ALinkedWorktreeIsRefusedClearlyInAHostedSession) {
  session.reset();
  session = std::make_unique<TestSession>(TestSession::Options{});
  const std::string main = session->dir() + "/main";
  std::filesystem::create_directory(main);
  ASSERT_EQ(::chown(main.c_str(), session->uid(), session->uid()), 0);
  const Ran made = run_outside(
      session->uid(),
      {"/bin/bash", "-c",
       "set -e; cd " + main + "; export HOME=$PWD\n" + kWho +
           "git -c init.defaultBranch=main init -q . && echo one > file && git add file && "
           "git commit -qm first && git worktree add -q -f " + session->workspace() + " -b side"});
  ASSERT_EQ(made.exit_status, 0);
  ASSERT_EQ(session->start(), "");
  const Ran ran = script("cat file; git status");
  EXPECT_TRUE(ran.output.starts_with("one\nfatal: not a git repository: ")) << ran.output;
}

TEST_F(WorksWithGit, AConfigurationThatItMayNotChangeIsSaidClearly) {
  begin_in_repository();
  const Ran ran = script("git config core.pager evil");
  EXPECT_NE(ran.exit_status, 0);
  EXPECT_NE(ran.output.find("error: could not"), std::string::npos) << ran.output;
}

}  // namespace
}  // namespace oqto::sandbox
