// What holds tenants to their share while the host serves.
#include "storage/test_disk.h"

namespace oqto::storage {
namespace {

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

}  // namespace
}  // namespace oqto::storage
