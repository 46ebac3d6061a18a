// What is found out and put in place before the host serves.
#include <sys/resource.h>

#include "storage/test_disk.h"

namespace oqto::storage {
namespace {

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

// Whoever fills it must not keep the host from starting: nor be without limits by it.
TEST_F(Disk, AttackADiskThatIsFullWhenTheHostStartsIsTakenByItsWord) {
  for (const bool was_tried : {true, false}) {
    NEEDS(mount_state("-O quota,project -N 200", ",prjquota", 32));
    if (was_tried) {
      ASSERT_TRUE(try_limits(state_ + "/tenants", kProbe));
    }
    fill_up();
    const Status tried = try_limits(state_ + "/tenants", kProbe);
    EXPECT_TRUE(tried) << (tried ? "" : tried.error().what) << was_tried;
    ASSERT_EQ(::umount2(state_.c_str(), MNT_DETACH), 0);
  }
}

TEST_F(Disk, AFullDiskWithoutQuotaIsStillOne) {
  NEEDS(mount_state(" -N 200", "", 32));
  fill_up();
  const Status tried = try_limits(state_ + "/tenants", kProbe);
  ASSERT_FALSE(tried);
  EXPECT_EQ(tried.error().code, Errc::not_found) << tried.error().what;
}

TEST_F(Disk, AttackALimitThatCouldNotBeTriedIsNotTakenForNone) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit little{.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &little), 0);  // what writes more is killed
  const Status tried = try_limits(state_ + "/tenants", kProbe);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(tried);
  EXPECT_EQ(tried.error().code, Errc::unavailable) << tried.error().what;
}

TEST_F(Disk, ATrialIsMadeAgainByAnotherUser) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  ASSERT_TRUE(try_limits(state_ + "/tenants", kProbe));
  const Status again = try_limits(state_ + "/tenants", kProbe + 1);
  EXPECT_TRUE(again) << (again ? "" : again.error().what);
  EXPECT_EQ(fs::file_size(state_ + "/tenants/.limits-probe/f"), 0U);
}

TEST_F(Disk, AttackATreeThatCannotBeCountedKeepsNoOtherFromIt) {
  NEEDS(mount_state("-O quota,project", ",prjquota"));
  const std::string tenants = state_ + "/tenants";
  for (const char* const account : {"/7", "/8"}) {
    fs::create_directories(tenants + account + "/home");
    std::ofstream(tenants + account + "/home/a") << "text";
    std::ofstream(tenants + account + "/home/b") << "text";
  }
  NEEDS(sh("chattr +i " + tenants + "/7/home/a") == 0 ? "" : "a file that nobody can change");
  ASSERT_TRUE(adopt_tenants(tenants, kFirst));
  const auto of = [&](const std::string& path) {
    return *project_of(*sys::open_file((tenants + path).c_str(), O_RDONLY));
  };
  EXPECT_EQ(of("/8/home/a"), agent(8));
  EXPECT_EQ(of("/8/home"), agent(8));
  EXPECT_EQ(of("/7/home/b"), agent(7));
  EXPECT_NE(of("/7/home"), agent(7));
  // Tried again, also when its tenant has been there since.
  Tenants limits = with_limits(DiskLimits::file_system, {.bytes = 20 * kMiB, .files = 1000});
  (void)tenant(limits, 7);
  ASSERT_EQ(sh("chattr -i " + tenants + "/7/home/a"), 0);
  ASSERT_TRUE(adopt_tenants(tenants, kFirst));
  EXPECT_EQ(of("/7/home/a"), agent(7));
  EXPECT_FALSE(fs::exists(tenants + "/.adopt-7"));
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

TEST_F(Disk, AnImageThatOnlyItsFileHasGrownOfGrowsAtTheNextStart) {
  make_tenants();
  Plan plan{.state = state_, .probe_uid = kProbe, .first_uid = kFirst, .image_bytes = 64 * kMiB};
  const Status mounted = mount_image(plan);
  NEEDS(mounted ? "" : std::string("an image: ") + mounted.error().what);
  ASSERT_EQ(::umount2((state_ + "/tenants").c_str(), 0), 0);
  const std::string image = state_ + "/tenants.img";
  ASSERT_EQ(sh("fallocate -l 128M " + image), 0);  // as a kill before resize2fs leaves it
  plan.image_bytes = 128 * kMiB;
  ASSERT_TRUE(mount_image(plan));
  EXPECT_GT(with_limits(DiskLimits::image, {}).status().tenants_bytes, 100 * kMiB);
}

TEST_F(Disk, AttackADeviceThatHasTheImageByAnotherNameIsFound) {
  make_tenants();
  const Plan plan{
      .state = state_, .probe_uid = kProbe, .first_uid = kFirst, .image_bytes = 64 * kMiB};
  const Status mounted = mount_image(plan);
  NEEDS(mounted ? "" : std::string("an image: ") + mounted.error().what);
  ASSERT_EQ(::umount2((state_ + "/tenants").c_str(), 0), 0);
  const std::string image = state_ + "/tenants.img", other = state_ + "/other";
  ASSERT_EQ(::link(image.c_str(), other.c_str()), 0);
  ASSERT_EQ(sh("losetup -f " + other), 0);
  ASSERT_TRUE(mount_image(plan));
  EXPECT_EQ(sh("test $(losetup -n -l -O BACK-FILE | grep -c " + state_ + "/) = 1"), 0);
  ASSERT_EQ(::umount2((state_ + "/tenants").c_str(), 0), 0);
  (void)sh("losetup -j " + other + " | cut -d: -f1 | xargs -r losetup -d");
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
