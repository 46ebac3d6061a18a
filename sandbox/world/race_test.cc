// Races against the start of a sandbox: somebody swaps directories and links as fast as it can
// while sources are checked and mounted, mount points made and stubs placed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "sandbox/world/layout.h"
#include "sandbox/world/test_world.h"

namespace oqto::sandbox {
namespace {

constexpr long kSwaps = 100'000;
constexpr int kStarts = 25;

// Exchanges two names, with this uid, until it is destroyed.
class Swapper {
 public:
  Swapper(uid_t uid, std::string a, std::string b) {
    count_ = static_cast<std::atomic<long>*>(
        ::mmap(nullptr, sizeof *count_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_ = ::fork();
    if (pid_ != 0) return;
    if (::setresuid(uid, uid, uid) != 0) ::_exit(9);
    for (;;) {
      (void)::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
      ++*count_;
    }
  }
  ~Swapper() {
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
    (void)::munmap(count_, sizeof *count_);
  }
  [[nodiscard]] long swaps() const { return *count_; }

 private:
  pid_t pid_;
  std::atomic<long>* count_;
};

// DIR/data/sub is the user's; DIR/link leads to DIR/victim, which holds a `sub` too.
struct Scene {
  TestWorld at{true};
  std::string data, link, victim;
  Scene() : data(at.dir() + "/data"), link(at.dir() + "/link"), victim(at.dir() + "/victim") {
    at.write(data + "/sub/which", "mine\n");
    at.write(victim + "/sub/which", "victim\n");
    CHECK(::symlink("victim", link.c_str()) == 0);
    CHECK(::lchown(link.c_str(), at.uid(), at.uid()) == 0);
  }
  void expect_untouched() const {
    EXPECT_EQ(at.outside("cd " + victim + " && find . | sort && cat sub/which").output,
              ".\n./sub\n./sub/which\nvictim\n");
  }
};

// Whatever it says, it must not have got there.
bool is_refusal(const std::string& why) {
  for (const char* expected : {"exchanged", "symbolic link", "in the way", "does not exist",
                               "directory of something denied", "no place", "Too many levels",
                               "mount point", "cannot be renamed", "appeared", "a mount is missing",
                               "not mounted", "not the current directory", "chdir to the workspace",
                               "cannot be opened", "was removed outside"}) {
    if (why.find(expected) != std::string::npos) return true;
  }
  return false;
}

TEST(Race, ANaiveSandboxMountsTheVictim) {
  Scene scene;
  const Swapper swapper(scene.at.uid(), scene.data, scene.link);
  bool escaped = false;
  for (int i = 0; i < 2000 && !escaped; ++i) {
    // It looks first, as everybody does, and mounts by path afterwards.
    const Ran ran =
        scene.at.outside("d=" + scene.data +
                         "; test -L $d && exit; exec bwrap --ro-bind / / --bind $d/sub /mnt -- "
                         "cat /mnt/which");
    escaped = ran.output == "victim\n";
  }
  EXPECT_TRUE(escaped);
}

TEST(Race, AGrantIsWhatWasCheckedOrNothing) {
  Scene scene;
  scene.at.world.policy.allow_write.values = {scene.data + "/sub"};
  const Swapper swapper(scene.at.uid(), scene.data, scene.link);
  int started = 0;
  for (int i = 0; i < kStarts || swapper.swaps() < kSwaps; ++i) {
    const std::string why = scene.at.start();
    if (why.empty()) {
      ++started;
      EXPECT_EQ(scene.at.say("cat " + scene.data + "/sub/which"), "mine");
    } else {
      EXPECT_TRUE(is_refusal(why)) << why;
    }
    scene.at.stop(SIGKILL);
  }
  EXPECT_GT(started, 0);
  scene.expect_untouched();
}

TEST(Race, MountPointsAreNotMadeElsewhere) {
  // The way to the workspace's mount point is the agent's to change: it lies in its private home.
  Scene scene;
  const std::string home = scene.at.world.home.outside;
  scene.at.world.workspace.inside = scene.at.home() + "/way/made/here";
  scene.at.make_directory(home + "/way");
  ASSERT_EQ(::symlink(scene.victim.c_str(), (home + "/other").c_str()), 0);
  ASSERT_EQ(::lchown((home + "/other").c_str(), scene.at.uid(), scene.at.uid()), 0);
  const Swapper swapper(scene.at.uid(), home + "/way", home + "/other");
  for (int i = 0; i < kStarts || swapper.swaps() < kSwaps; ++i) {
    const std::string why = scene.at.start();
    EXPECT_TRUE(why.empty() || is_refusal(why)) << why;
    scene.at.stop(SIGKILL);
    // What was in the way was renamed: put it back.
    scene.at.outside("cd " + home + " && rm -rf *.replaced-* other; ln -sT " + scene.victim +
                     " other");
  }
  scene.expect_untouched();
}

TEST(Race, StubsAreNotPlacedElsewhere) {
  Scene scene;
  scene.at.world.policy.allow_write.values = {scene.at.dir() + "/outer"};
  scene.at.make_directory(scene.at.dir() + "/outer/way/sub");
  ASSERT_EQ(::symlink(scene.victim.c_str(), (scene.at.dir() + "/outer/other").c_str()), 0);
  scene.at.world.policy.protect.values = {scene.at.dir() + "/outer/way/sub/absent"};
  const Swapper swapper(scene.at.uid(), scene.at.dir() + "/outer/way",
                        scene.at.dir() + "/outer/other");
  for (int i = 0; i < kStarts || swapper.swaps() < kSwaps; ++i) {
    const std::string why = scene.at.start();
    if (why.empty()) {
      EXPECT_NE(scene.at.run("echo x > " + scene.at.dir() + "/outer/way/sub/absent").exit_status,
                0);
    } else {
      EXPECT_TRUE(is_refusal(why)) << why;
    }
    scene.at.stop(SIGKILL);
  }
  scene.expect_untouched();
}

}  // namespace
}  // namespace oqto::sandbox
