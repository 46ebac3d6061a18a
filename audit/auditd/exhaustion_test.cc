// A log on a real file system that has no room, or does not write any more.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "audit/tests/test_host.h"
#include "tests/possible.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;

std::size_t resident_bytes(pid_t pid) {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::istringstream(read_file("/proc/" + std::to_string(pid) + "/statm")) >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

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
    ::umount2((host_.log_dir() + "/tmp").c_str(), MNT_DETACH);
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
  // Tiles are written there before they have their name.
  void forbid_tiles() {
    ASSERT_EQ(::mount("tmpfs", (host_.log_dir() + "/tmp").c_str(), "tmpfs", 0, "nr_inodes=1,mode=0700"), 0);
  }
  // The checkpoint, and the tiles below it, are of all that was acknowledged.
  bool is_published_soon() {
    for (int i = 0; i < 1000; ++i) {
      const std::string note = read_file(host_.log_dir() + "/checkpoint");
      const std::string size = note.substr(note.find('\n') + 1);
      if (std::strtoull(size.c_str(), nullptr, 10) == entries_of(host_).size()) return true;
      ::usleep(50'000);
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
  const std::size_t full = count_events(entries, "log.full");  // for tenants, and on so small a disk for all
  EXPECT_TRUE(full == 1 || full == 2) << full;
  EXPECT_GE(count_events(entries, "log.gap"), 1U);
  host_.stop();
  expect_whole();
}

TEST_F(Exhaustion, AFullExt4RefusesSaysSoAndGoesOnWhenThereIsRoom) {
  NEEDS(possible::with_loop_device());
  mount_ext4("errors=continue");
  ASSERT_TRUE(host_.start());
  ASSERT_TRUE(resumes());  // the tenant has a key for the day
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

TEST_F(Exhaustion, AttackATenantThatFloodsTheLogOfAFullDiskLeavesRoomForTheHostsRecords) {
  NEEDS(possible::with_loop_device());
  mount_ext4("errors=continue");
  ASSERT_TRUE(host_.start());
  ipc::AuditClient other(host_.source(ipc::Process::runner, 8, "bob"));
  const auto append = [&](ipc::AuditClient& client, ipc::Event event) {
    const auto index = client.append(record(event));
    if (index) acknowledged_.push_back(*index);
    return index.has_value();
  };
  ASSERT_TRUE(append(other, Event::exec));
  ASSERT_TRUE(resumes());  // both have a key for the day
  const std::string filler = host_.log_dir() + "/tmp/filler";
  (void)run("dd if=/dev/zero of=" + filler + " bs=64k; dd if=/dev/zero of=" + filler + "2 bs=512");
  ASSERT_TRUE(fill());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(append(other, Event::exec)) << i;
  {
    ipc::AuditClient accounts(host_.source(ipc::Process::accounts, 0, ""));
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(append(accounts, Event::login)) << i;
  }
  EXPECT_EQ(count_events(entries_of(host_), "log.full"), 1U);
  host_.kill_auditd();
  ASSERT_TRUE(host_.start_auditd());  // and what is set aside is still there
  ipc::AuditClient accounts(host_.source(ipc::Process::accounts, 0, ""));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(append(accounts, Event::login)) << i;
  ASSERT_EQ(run("rm " + filler + " " + filler + "2").status, 0);
  ASSERT_TRUE(resumes());
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

// More is to be made again than is kept in memory: a log that was copied without its tiles, or had none for long.
TEST_F(Exhaustion, ADiskThatTakesNoTilesKeepsNeitherAuditdFromStartingNorRecordsOut) {
  ASSERT_TRUE(host_.start());
  ASSERT_FALSE(fill());
  host_.kill_auditd();
  std::filesystem::remove_all(host_.log_dir() + "/tile");
  forbid_tiles();
  ASSERT_TRUE(host_.start_auditd());
  EXPECT_TRUE(host_.client().append(record(Event::login)));
  acknowledged_.push_back(entries_of(host_).size() - 1);
  ASSERT_FALSE(fill());  // and as much again
  EXPECT_LT(resident_bytes(host_.auditd.pid), std::size_t{150} << 20);
  ASSERT_EQ(::umount2((host_.log_dir() + "/tmp").c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(is_published_soon());
  expect_whole();
  host_.kill_auditd();
  ASSERT_TRUE(host_.start_auditd());
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
