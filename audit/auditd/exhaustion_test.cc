// A log on a real file system that has no room, or does not write any more.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "audit/tests/test_host.h"
#include "tests/possible.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;

// Mounts are made in a mount namespace of this test's own.
class Exhaustion : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!possible::as_root().empty()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override { NEEDS(possible::as_root()); }
  void TearDown() override {
    host_.kill_auditd();
    host_.kill_signer();
    ::umount2(host_.log_dir().c_str(), MNT_DETACH);
  }

  void mount_tmpfs(const char* options) {
    ASSERT_EQ(::mount("tmpfs", host_.log_dir().c_str(), "tmpfs", 0, options), 0);
  }
  // Call NEEDS(possible::with_loop_device()) before.
  void mount_ext4(const char* options) {
    const std::string image = dir_.path() + "/image";
    const Output made = run("truncate -s 32M " + image + " && mkfs.ext4 -q -m 0 " + image +
                            " && mount -o loop," + options + " " + image + " " + host_.log_dir() +
                            " && rmdir " + host_.log_dir() + "/lost+found");
    ASSERT_EQ(made.status, 0) << made.out;
  }

  // Records until one is refused; true if that came to pass.
  bool fill() {
    auto client = host_.client();
    const std::string value(5000, 'v');
    for (int i = 0; i < 4000; ++i) {
      const auto index = client.append(record(Event::exec).add(FieldKey::request_id, value));
      if (!index) return true;
      acknowledged_.push_back(*index);
    }
    return false;
  }
  bool resumes() {
    for (int i = 0; i < 500; ++i) {
      const auto index = host_.client().append(record(Event::login));
      if (index) {
        acknowledged_.push_back(*index);
        return true;
      }
      ::usleep(20'000);
    }
    return false;
  }
  // Nothing that was acknowledged is lost, and the log says what was refused.
  void expect_whole() {
    const auto entries = entries_of(host_);
    for (const std::uint64_t index : acknowledged_) ASSERT_LT(index, entries.size());
    EXPECT_EQ(count_events(entries, "exec") + count_events(entries, "login"), acknowledged_.size());
    const Output verified = host_.verify();
    EXPECT_EQ(verified.status, 0) << verified.out;
  }

  TempDir dir_;
  TestHost host_;
  std::vector<std::uint64_t> acknowledged_;
};

TEST_F(Exhaustion, AFullTmpfsRefusesSaysSoAndGoesOnWhenThereIsRoom) {
  mount_tmpfs("size=1m,mode=0700");
  ASSERT_TRUE(host_.start());
  ASSERT_TRUE(fill());
  const std::string last = entries_of(host_).back();
  EXPECT_TRUE(contains(last, R"("event":"log.full")")) << last;
  EXPECT_TRUE(contains(last, "has no room")) << last;
  EXPECT_FALSE(host_.client().append(record(Event::login)));  // a small one would have fitted
  ASSERT_EQ(::mount("", host_.log_dir().c_str(), nullptr, MS_REMOUNT, "size=8m"), 0);
  ASSERT_TRUE(resumes());
  const auto entries = entries_of(host_);
  EXPECT_EQ(count_events(entries, "log.full"), 1U);
  EXPECT_GE(count_events(entries, "log.gap"), 1U);
  host_.stop();
  expect_whole();
}

TEST_F(Exhaustion, AFullExt4RefusesSaysSoAndGoesOnWhenThereIsRoom) {
  NEEDS(possible::with_loop_device());
  mount_ext4("errors=continue");
  ASSERT_TRUE(host_.start());
  const std::string filler = host_.log_dir() + "/tmp/filler";
  for (int round = 0; round < 3; ++round) {
    (void)run("dd if=/dev/zero of=" + filler + " bs=64k");  // as far as there is room
    ASSERT_TRUE(fill());
    EXPECT_TRUE(contains(entries_of(host_).back(), R"("event":"log.full")"));
    ASSERT_EQ(::unlink(filler.c_str()), 0);
    ASSERT_TRUE(resumes()) << run("df " + host_.log_dir() + "; ls -laR " + host_.log_dir()).out;
  }
  host_.stop();
  expect_whole();
}

TEST_F(Exhaustion, AFullDiskAtTheStartIsServedAndRefused) {
  mount_tmpfs("size=1m,mode=0700");
  ASSERT_TRUE(host_.start());
  ASSERT_TRUE(fill());
  host_.kill_auditd();
  ASSERT_TRUE(host_.start_auditd());
  ASSERT_TRUE(fill());
  ASSERT_EQ(::mount("", host_.log_dir().c_str(), nullptr, MS_REMOUNT, "size=8m"), 0);
  ASSERT_TRUE(resumes());
  host_.stop();
  expect_whole();
}

// The kernel remounts a file system read-only under its writers when it finds it damaged.
TEST_F(Exhaustion, AFileSystemThatTurnsReadOnlyLosesNothingThatWasAcknowledged) {
  NEEDS(possible::with_loop_device());
  mount_ext4("errors=remount-ro");
  ASSERT_TRUE(host_.start());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(resumes());
  const Output device = run("findmnt -n -o SOURCE " + host_.log_dir() + " | xargs basename");
  const std::string name = device.out.substr(0, device.out.find('\n'));
  ASSERT_EQ(run("echo test > /sys/fs/ext4/" + name + "/trigger_fs_error").status, 0) << name;
  EXPECT_FALSE(host_.client().append(record(Event::admin)));
  EXPECT_FALSE(host_.client().append(record(Event::admin)));
  host_.kill_auditd();
  ASSERT_EQ(::umount2(host_.log_dir().c_str(), 0), 0);
  const Output repaired = run("e2fsck -fy " + dir_.path() + "/image; mount -o loop " + dir_.path() +
                              "/image " + host_.log_dir() + "; rmdir " + host_.log_dir() +
                               "/lost+found");
  ASSERT_TRUE(std::filesystem::exists(host_.log_dir() + "/segment")) << repaired.out;
  ASSERT_TRUE(host_.start_auditd());
  ASSERT_TRUE(resumes());
  host_.stop();
  expect_whole();
}

}  // namespace
}  // namespace oqto::audit
