// Limits on a real file system: an ext4 with project quota in a mount namespace of this test's own.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/sys.h"
#include "storage/prepare.h"
#include "storage/tenants.h"
#include "tests/possible.h"

namespace oqto::storage {
namespace {

namespace fs = std::filesystem;
using ipc::DiskLimits;

constexpr std::uint32_t kProbe = 71'009;
constexpr std::uint32_t kFirst = 72'000;
constexpr std::uint64_t kMiB = 1 << 20;

int sh(const std::string& command) {
  return *run_tool({"/bin/sh", "-c", command + " >/dev/null 2>&1"});
}

// In a process of that user's: its exit status.
int as_user(uid_t uid, const std::function<int()>& act) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
        ::setresuid(uid, uid, uid) != 0)
      ::_exit(99);
    ::_exit(act());
  }
  int status = 0;
  (void)::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

// How many bytes until it fails, in MiB, and with what.
int fill(const std::string& path, int& error) {
  const Fd file = Fd::adopt(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string piece(64 * 1024, 'x');
  std::size_t written = 0;
  ssize_t n = 0;
  while (written < 500 * kMiB && (n = ::write(file.get(), piece.data(), piece.size())) > 0)
    written += static_cast<std::size_t>(n);
  error = n < 0 ? errno : 0;
  return static_cast<int>(written / kMiB);
}

class Disk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!possible::as_root().empty()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void SetUp() override {
    NEEDS(possible::with_loop_device());
    NEEDS(possible::with_program("mkfs.ext4"));
    char path[] = "/tmp/oqto-storage-XXXXXX";
    dir_ = ::mkdtemp(path);
    ::chmod(dir_.c_str(), 0755);
    state_ = dir_ + "/state";
    fs::create_directories(state_);
  }
  void TearDown() override {
    (void)::umount2((state_ + "/tenants").c_str(), MNT_DETACH);
    (void)::umount2(state_.c_str(), MNT_DETACH);
    fs::remove_all(dir_);
  }

  // Empty if it is there, or why it cannot be: not every kernel has quota.
  std::string mount_state(const std::string& features, const std::string& options, int mib = 200) {
    const std::string image = dir_ + "/disk";
    if (sh("truncate -s " + std::to_string(mib) + "M " + image + " && mkfs.ext4 -q -m 0 " +
           features + " " + image) != 0) {
      return "mkfs.ext4 " + features + " fails";
    }
    if (sh("mount -o loop" + options + " " + image + " " + state_) != 0)
      return "the kernel mounts no ext4 with " + options;
    (void)::rmdir((state_ + "/lost+found").c_str());
    make_tenants();
    return "";
  }
  void make_tenants() const { ::mkdir((state_ + "/tenants").c_str(), 0711); }

  Tenants with_limits(DiskLimits kind, Limits wanted) const {
    return Tenants(kind, *sys::open_dir(state_.c_str()),
                   *sys::open_dir((state_ + "/tenants").c_str()), wanted);
  }
  // A tenant's directory, as the guard makes it; its home is the agent's.
  std::string tenant(Tenants& tenants, std::uint32_t account) {
    const std::string path = state_ + "/tenants/" + std::to_string(account);
    ::mkdir(path.c_str(), 0711);
    ::mkdir((path + "/home").c_str(), 0700);
    const Fd home = Fd::adopt(::open((path + "/home").c_str(), O_PATH | O_CLOEXEC));
    const Status limited = tenants.limit(home, Tenants::Part::work, account, agent(account));
    EXPECT_TRUE(limited) << (limited ? "" : limited.error().what);
    EXPECT_EQ(::chown((path + "/home").c_str(), agent(account), agent(account)), 0);
    return path + "/home";
  }
  static uid_t agent(std::uint32_t account) { return kFirst + 2 * account + 1; }

  std::string dir_, state_;
};

TEST_F(Disk, AttackATenantThatFillsTheDiskStopsAtItsShareAndTheOthersGoOn) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  ASSERT_TRUE(try_limits(state_ + "/tenants", kProbe));
  Tenants tenants = with_limits(DiskLimits::file_system, {.bytes = 20 * kMiB, .files = 1000});
  const std::string evil = tenant(tenants, 1), good = tenant(tenants, 2);
  EXPECT_EQ(as_user(agent(1),
                    [&] {
                      int error = 0;
                      const int written = fill(evil + "/f", error);
                      return written >= 15 && written <= 20 && error == EDQUOT ? 0 : written;
                    }),
            0);
  // A name for it that is gone, a hole that is filled, blocks without content: all of it counts.
  EXPECT_EQ(as_user(agent(1),
                    [&] {
                      const Fd file = Fd::adopt(::open(evil.c_str(), O_TMPFILE | O_WRONLY, 0600));
                      return ::fallocate(file.get(), 0, 0, 10 * kMiB) != 0 && errno == EDQUOT ? 0
                                                                                              : 1;
                    }),
            0);
  EXPECT_EQ(as_user(agent(2),
                    [&] {
                      int error = 0;
                      (void)fill(good + "/f", error);
                      return error == EDQUOT ? 0 : 1;  // its own share, all of it
                    }),
            0);
  ipc::CtlTenant row;
  row.account = 1;
  tenants.describe(row);
  EXPECT_GE(row.disk_bytes, 19 * kMiB);
  EXPECT_EQ(row.disk_limit, 20 * kMiB);
  EXPECT_EQ(row.disk_files_limit, 1000U);
}

TEST_F(Disk, AttackATenantThatMakesFilesUntilThereAreNoneStopsAtItsShare) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  Tenants tenants = with_limits(DiskLimits::file_system, {.bytes = 50 * kMiB, .files = 1000});
  const std::string evil = tenant(tenants, 1), good = tenant(tenants, 2);
  const auto make_files = [](const std::string& home) {
    int made = 0;
    while (made < 5000 &&
           Fd::adopt(::open((home + "/" + std::to_string(made)).c_str(), O_WRONLY | O_CREAT, 0600)))
      ++made;
    return made;
  };
  EXPECT_EQ(as_user(agent(1), [&] { return make_files(evil) < 1000 && errno == EDQUOT ? 0 : 1; }),
            0);
  EXPECT_EQ(as_user(agent(2), [&] { return make_files(good) > 900 ? 0 : 1; }), 0);
}

TEST_F(Disk, AttackNoTenantMovesWhatItHasToAnothersAccountOrToNobodys) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  Tenants tenants = with_limits(DiskLimits::file_system, {.bytes = 20 * kMiB, .files = 1000});
  const std::string evil = tenant(tenants, 1), good = tenant(tenants, 2);
  ASSERT_EQ(::chmod(good.c_str(), 0777), 0);  // more than there ever is
  ASSERT_EQ(::chmod((state_ + "/tenants/2").c_str(), 0777), 0);
  EXPECT_EQ(
      as_user(agent(1),
              [&] {
                std::ofstream(evil + "/f") << "content";
                if (::rename((evil + "/f").c_str(), (good + "/f").c_str()) == 0 || errno != EXDEV)
                  return 1;
                if (::link((evil + "/f").c_str(), (good + "/g").c_str()) == 0 || errno != EXDEV)
                  return 2;
                return 0;
              }),
      0);
  // From a user namespace, as everything of a session is, a project cannot be changed.
  EXPECT_EQ(as_user(agent(1),
                    [&] {
                      if (::unshare(CLONE_NEWUSER) != 0)
                        return 0;  // then there is no session here either
                      const Fd file = Fd::adopt(::open((evil + "/f").c_str(), O_RDONLY));
                      return set_project(file, 0) ? 1 : 0;
                    }),
            0);
}

TEST_F(Disk, OneTenantNeverGetsMoreThanTheHalf) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  Tenants tenants =
      with_limits(DiskLimits::file_system, {.bytes = 1000 * kMiB, .files = 100'000'000});
  (void)tenant(tenants, 1);
  const ipc::CtlStorage status = tenants.status();
  EXPECT_LE(status.tenant_bytes, status.tenants_bytes / 2);
  EXPECT_GT(status.tenant_bytes, status.tenants_bytes / 3);
  EXPECT_GT(status.promised_bytes, status.tenant_bytes);  // and an eighth for its history
  EXPECT_LT(status.tenant_files, 100'000'000U);
}

TEST_F(Disk, AFileSystemThatCountsOnlyIsMadeToEnforce) {
  NEEDS(mount_state("-O quota,project", ""));
  EXPECT_TRUE(try_limits(state_ + "/tenants", kProbe));
  Tenants tenants = with_limits(DiskLimits::file_system, {.bytes = 20 * kMiB, .files = 1000});
  const std::string home = tenant(tenants, 1);
  EXPECT_EQ(as_user(agent(1),
                    [&] {
                      int error = 0;
                      return fill(home + "/f", error) <= 20 && error == EDQUOT ? 0 : 1;
                    }),
            0);
}

TEST_F(Disk, WithoutQuotaItIsSaidAndNothingIsLeftBehind) {
  NEEDS(mount_state("", ""));
  const Status tried = try_limits(state_ + "/tenants", kProbe);
  ASSERT_FALSE(tried);
  EXPECT_EQ(tried.error().code, Errc::not_found) << tried.error().what;
  EXPECT_TRUE(fs::is_empty(state_ + "/tenants"));
  Tenants tenants = with_limits(DiskLimits::none, {.bytes = 20 * kMiB, .files = 1000});
  (void)tenant(tenants, 1);
  EXPECT_EQ(tenants.status().tenant_bytes, 0U);  // nothing is promised that does not hold
  ASSERT_FALSE(tenants.troubles().empty());
  EXPECT_NE(tenants.troubles().front().find("no limit"), std::string::npos);
}

TEST_F(Disk, WhatTenantsHadBeforeThereWereLimitsCounts) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  const std::string deep = state_ + "/tenants/7/workspaces/w/a/b";
  fs::create_directories(deep);
  fs::create_directories(state_ + "/tenants/7/state/hstry");
  ASSERT_EQ(sh("dd if=/dev/zero of=" + deep + "/old bs=1M count=8 && ln -s /etc/passwd " + deep +
               "/link && mkfifo " + deep + "/pipe"),
            0);
  ASSERT_TRUE(adopt_tenants(state_ + "/tenants", kFirst));
  const auto used = usage_of(*sys::open_dir(state_.c_str()), agent(7));
  ASSERT_TRUE(used);
  EXPECT_GE(used->used.bytes, 8 * kMiB);
  EXPECT_GE(used->used.files, 5U);
  EXPECT_EQ(*project_of(*sys::open_dir((state_ + "/tenants/7/workspaces").c_str())), agent(7));
  EXPECT_EQ(*project_of(*sys::open_dir((state_ + "/tenants/7").c_str())), kFirst + 14);
  EXPECT_EQ(*project_of(*sys::open_dir((state_ + "/tenants/7/state").c_str())), kFirst + 14);
  EXPECT_NE(*project_of(*sys::open_file("/etc/passwd", O_RDONLY)), kFirst + 14);
}

TEST_F(Disk, AWarningIsGivenOnceForEachCrossing) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  Tenants tenants = with_limits(DiskLimits::file_system, {.bytes = 20 * kMiB, .files = 1000});
  const std::string home = tenant(tenants, 1);
  std::uint64_t now = 10'000;
  const auto news = [&] { return tenants.news(now += 10'000); };
  EXPECT_TRUE(news().empty());
  const std::string file = home + "/f";
  ASSERT_EQ(sh("dd if=/dev/zero of=" + file + " bs=1M count=17 && sync"), 0);
  const auto first = news();
  ASSERT_EQ(first.size(), 1U);
  EXPECT_NE(first[0].find("account 1"), std::string::npos) << first[0];
  EXPECT_TRUE(news().empty());
  EXPECT_EQ(tenants.troubles().size(), 1U);
  ASSERT_EQ(sh("truncate -s 15500K " + file), 0);  // 76 %: not over yet
  EXPECT_TRUE(news().empty());
  ASSERT_EQ(sh("truncate -s 1M " + file), 0);
  EXPECT_TRUE(news().empty());
  ASSERT_EQ(sh("dd if=/dev/zero of=" + file + " bs=1M count=17 && sync"), 0);
  EXPECT_EQ(news().size(), 1U);
}

TEST_F(Disk, AnImageHoldsTenantsWhereTheFileSystemDoesNotAndOutlivesAStop) {
  make_tenants();  // on whatever /tmp is
  const Plan plan{
      .state = state_, .probe_uid = kProbe, .first_uid = kFirst, .image_bytes = 128 * kMiB};
  const Status mounted = mount_image(plan);
  NEEDS(mounted ? "" : std::string("an image: ") + mounted.error().what);
  ASSERT_TRUE(try_limits(state_ + "/tenants", kProbe));
  struct stat image {};
  ASSERT_EQ(::stat((state_ + "/tenants.img").c_str(), &image), 0);
  EXPECT_GE(static_cast<std::uint64_t>(image.st_blocks) * 512, 128 * kMiB);  // nobody can take them
  EXPECT_EQ(image.st_mode & 0777, 0600U);
  {
    Tenants tenants = with_limits(DiskLimits::image, {.bytes = 20 * kMiB, .files = 1000});
    const std::string home = tenant(tenants, 1);
    EXPECT_EQ(as_user(agent(1),
                      [&] {
                        int error = 0;
                        return fill(home + "/f", error) <= 20 && error == EDQUOT ? 0 : 1;
                      }),
              0);
  }
  // As after a kill of the host whose mounts live on somewhere: in another mount namespace, the
  // same device.
  const pid_t pid = ::fork();
  if (pid == 0) {
    const bool ok = ::unshare(CLONE_NEWNS) == 0 &&
                    ::umount2((state_ + "/tenants").c_str(), 0) == 0 && mount_image(plan) &&
                    fs::exists(state_ + "/tenants/1/home/f");
    ::_exit(ok && sh("test $(losetup -n -O BACK-FILE | grep -c " + state_ + "/tenants.img) = 1") ==
                        0
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(::umount2((state_ + "/tenants").c_str(), 0), 0);
  const Plan larger{
      .state = state_, .probe_uid = kProbe, .first_uid = kFirst, .image_bytes = 192 * kMiB};
  ASSERT_TRUE(mount_image(larger));
  EXPECT_TRUE(fs::exists(state_ + "/tenants/1/home/f"));
  EXPECT_GT(with_limits(DiskLimits::image, {}).status().tenants_bytes, 150 * kMiB);
}

TEST_F(Disk, AnImageIsNotPutOverTenantsThatAreThere) {
  fs::create_directories(state_ + "/tenants/3");
  EXPECT_FALSE(mount_image(
      {.state = state_, .probe_uid = kProbe, .first_uid = kFirst, .image_bytes = 128 * kMiB}));
  EXPECT_TRUE(fs::exists(state_ + "/tenants/3"));
  EXPECT_FALSE(fs::exists(state_ + "/tenants.img"));
}

}  // namespace
}  // namespace oqto::storage
