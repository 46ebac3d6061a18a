// What can be shown without controllers; the limits themselves are shown in tests/vm.
#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/sys.h"
#include "policies/profiles.h"
#include "tests/possible.h"

namespace oqto::sandbox {
namespace {

constexpr std::string_view kUnified =
    "22 1 0:21 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr std::string_view kHybrid =
    "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

TEST(CgroupPlace, IsBelowTheMountOfTheUnifiedHierarchy) {
  const auto place = find_cgroup2("0::/system.slice/oqto.service\n", kUnified);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->mount, "/sys/fs/cgroup");
  EXPECT_EQ(place->path, "/system.slice/oqto.service");
}

TEST(CgroupPlace, IsFoundInTheHybridLayout) {
  const auto place = find_cgroup2("4:memory:/x\n1:name=systemd:/\n0::/\n", kHybrid);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->mount, "/sys/fs/cgroup/unified");
  EXPECT_EQ(place->path, "");
}

TEST(CgroupPlace, TakesThePartOfAContainersOwnMount) {
  const auto place = find_cgroup2(
      "0::/docker/abc/x\n", "22 1 0:21 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->path, "/x");
}

TEST(CgroupPlace, IsRefusedWithoutAWritableMountThatShowsUs) {
  EXPECT_FALSE(find_cgroup2("4:memory:/x\n", kUnified).has_value()) << "v1 only";
  EXPECT_FALSE(find_cgroup2("0::/../a\n", kUnified).has_value()) << "outside of the namespace";
  EXPECT_FALSE(find_cgroup2("0::/a\n", "22 1 0:21 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n").has_value());
  EXPECT_FALSE(find_cgroup2("0::/docker/abcd\n",
                            "22 1 0:21 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").has_value());
  EXPECT_FALSE(find_cgroup2("0::/a\n", "").has_value());
  EXPECT_FALSE(find_cgroup2("", "").has_value());
}

class Tree : public ::testing::Test {
 protected:
  void SetUp() override {
    NEEDS(possible::as_root());
    made = CgroupTree::create(name);
    NEEDS(made.has_value() ? "" : "no cgroup v2 tree that can be written: " + cgroup_advice(made));
  }
  void TearDown() override {
    if (made) made->remove_tree();
  }
  // A child that is born inside and forks on; -1 if it could not be born there.
  static pid_t born_inside(const Cgroup& leaf, bool forks) {
    clone_args wanted{};
    wanted.flags = CLONE_INTO_CGROUP;
    wanted.exit_signal = SIGCHLD;
    wanted.cgroup = static_cast<__u64>(leaf.directory().get());
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &wanted, sizeof wanted));
    if (pid != 0) return pid;
    (void)::alarm(60);
    for (;;) {
      if (!forks) {
        ::pause();
        continue;
      }
      // At most two at once, each a generation that a list of pids would have missed.
      const pid_t next = ::fork();
      if (next != 0) ::_exit(0);
    }
  }
  const std::string name = "oqto-test-" + std::to_string(::getpid());
  Result<CgroupTree> made = fail(Errc::not_found, "");
  policies::Limits limits = policies::profile_data(1).limits;
};

TEST_F(Tree, ProcessesAreBornInsideAndTheKillEndsThem) {
  const auto leaf = made->make("a", limits, 0);
  ASSERT_TRUE(leaf.has_value()) << leaf.error().what;
  EXPECT_FALSE(leaf->populated());
  const pid_t child = born_inside(*leaf, false);
  ASSERT_GT(child, 0);
  EXPECT_TRUE(leaf->populated());
  EXPECT_EQ(made->remove(*leaf).error().code, Errc::limit) << "not while it lives";
  ASSERT_TRUE(leaf->kill().has_value());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_FALSE(leaf->populated());
  EXPECT_TRUE(made->remove(*leaf).has_value());
  EXPECT_TRUE(made->remove(*leaf).has_value()) << "twice is the same";
}

TEST_F(Tree, AttackForkingAwayFromTheKill) {
  const auto leaf = made->make("a", limits, 0);
  ASSERT_TRUE(leaf.has_value());
  const pid_t first = born_inside(*leaf, true);
  ASSERT_GT(first, 0);
  ASSERT_EQ(::waitpid(first, nullptr, 0), first);  // by now it is a descendant that nobody knows
  EXPECT_TRUE(leaf->populated()) << "it forks on";
  ASSERT_TRUE(leaf->kill().has_value());
  for (int i = 0; i < 1000 && leaf->populated(); ++i) ::usleep(1000);
  EXPECT_FALSE(leaf->populated());
}

TEST_F(Tree, ALeafWhoseNameIsStillDyingIsMadeBesideIt) {
  const auto old = made->make("a", limits, 0);
  ASSERT_TRUE(old.has_value());
  const pid_t child = born_inside(*old, false);
  const auto next = made->make("a", limits, 0);
  ASSERT_TRUE(next.has_value());
  EXPECT_NE(old->name(), next->name());
  EXPECT_FALSE(next->populated());
  ASSERT_TRUE(old->kill().has_value());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(Tree, AStartRemovesEmptyRemainsOfOthersAndNoneThatLive) {
  auto other = CgroupTree::create(name + "-other");
  ASSERT_TRUE(other.has_value()) << other.error().what;
  ASSERT_TRUE(CgroupTree::create(name).has_value());
  const auto leaf = other->make("a", limits, 0);
  EXPECT_TRUE(leaf.has_value()) << "it lives, and its tree is still there";
  other->remove_tree();
}

// What a process of its own comes to, which then ends.
int in_another_process(const std::function<int()>& act) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(act());
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// As two containers that share the hierarchy and not /run, so that the lock on the uids does not tell.
TEST_F(Tree, AttackASecondInstanceOfThisNameIsRefusedAndChangesNothing) {
  const auto leaf = made->make("a", limits, 0);
  ASSERT_TRUE(leaf.has_value());
  const pid_t child = born_inside(*leaf, false);
  ASSERT_GT(child, 0);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(in_another_process([this] {
    const auto second = CgroupTree::create(name);
    return second ? 1 : second.error().code == Errc::unavailable ? 42 : 2;
  }), 42);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("pid=\"" + std::to_string(::getpid()) + '"'), said.npos) << said;
  EXPECT_TRUE(leaf->populated()) << "its session was ended";
  EXPECT_TRUE(made->make("b", limits, 0).has_value());
  ASSERT_TRUE(leaf->kill().has_value());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(Tree, AttackAnInstanceOfAnotherNameThatStopsLeavesOursAlone) {
  const auto leaf = made->make("a", limits, 0);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(in_another_process([this] {
    auto second = CgroupTree::create(name + "-second");
    if (!second || !second->make("a", policies::profile_data(1).limits, 0)) return 1;
    second->remove_tree();
    return 42;
  }), 42);
  EXPECT_TRUE(made->make("b", limits, 0).has_value()) << "the tree is gone";
}

TEST_F(Tree, WhatAKilledInstanceLeftIsTakenOver) {
  const std::string left = name + "-killed";
  ASSERT_EQ(in_another_process([&left] {
    auto tree = CgroupTree::create(left);
    return tree && tree->make("a", policies::profile_data(1).limits, 0) ? 42 : 1;  // and no goodbye
  }), 42);
  auto next = CgroupTree::create(left);
  ASSERT_TRUE(next.has_value()) << next.error().what;
  EXPECT_EQ(next->make("a", limits, 0)->name(), "a") << "the leaf of before is gone";
  next->remove_tree();
}

TEST_F(Tree, IsLostOnceSomebodyHasRemovedIt) {
  EXPECT_FALSE(made->is_lost());
  const auto leaf = made->make("one", limits, 0);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_FALSE(made->is_lost());
  ASSERT_TRUE(made->remove(*leaf));
  made->remove_tree();
  EXPECT_TRUE(made->is_lost());
  EXPECT_FALSE(made->make("two", limits, 0).has_value());
}

TEST_F(Tree, WhatAnEarlierInstanceLeftIsEndedAndRemoved) {
  const auto leaf = made->make("left", limits, 0);
  ASSERT_TRUE(leaf.has_value());
  const pid_t child = born_inside(*leaf, false);
  ASSERT_GT(child, 0);
  const auto again = CgroupTree::create(name);
  ASSERT_TRUE(again.has_value()) << again.error().what;
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

}  // namespace
}  // namespace oqto::sandbox
