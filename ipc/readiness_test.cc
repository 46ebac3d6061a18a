#include "ipc/readiness.h"

#include <gtest/gtest.h>

namespace oqto::ipc {
namespace {

constexpr std::uint64_t kDayMs = 86'400'000;
constexpr std::uint64_t kNow = 20'000 * kDayMs;

// "" nothing, "warning" or "not ready".
std::string verdict(const std::optional<CtlTrouble>& trouble) {
  if (!trouble) return "";
  return trouble->is_warning == 1 ? "warning" : "not ready";
}

TEST(Readiness, ACertificateCountsFromItsFirstMillisecondToBeforeItsLast) {
  const auto at = [](std::uint64_t from, std::uint64_t until) {
    return verdict(judge_certificate({from, until}, kNow));
  };
  EXPECT_EQ(at(kNow, kNow + 90 * kDayMs), "");
  EXPECT_EQ(at(kNow + 1, kNow + 90 * kDayMs), "not ready");
  EXPECT_EQ(at(0, kNow + 1), "warning");
  EXPECT_EQ(at(0, kNow), "not ready");
  EXPECT_EQ(at(0, 1), "not ready");
  EXPECT_EQ(at(0, kNow + kRenewMs), "");
  EXPECT_EQ(at(0, kNow + kRenewMs - 1), "warning");
  EXPECT_EQ(at(0, ~std::uint64_t{0}), "");
  EXPECT_EQ(at(0, 0), "") << "not known yet";
  EXPECT_EQ(judge_certificate({0, kDayMs}, kNow)->why.view(),
            "it expired at 1970-01-02T00:00:00.000Z");
}

struct Disk {
  fsblkcnt_t used = 0, left = 0;
  fsfilcnt_t files = 0, files_left = 0;  // all; left
  fsblkcnt_t block = 1 << 20;
};

std::string verdict(const Disk& of) {
  struct statvfs disk {};
  constexpr fsblkcnt_t kOfRoot = 7;  // neither used nor to be had
  disk.f_frsize = of.block;
  disk.f_blocks = of.used + of.left + kOfRoot;
  disk.f_bfree = of.left + kOfRoot;
  disk.f_bavail = of.left;
  disk.f_files = of.files;
  disk.f_ffree = disk.f_favail = of.files_left;
  return verdict(judge_disk(&disk));
}

TEST(Readiness, ADiskIsJudgedByRoomAndInodesAsDfDoes) {
  EXPECT_EQ(verdict(Disk{79, 21}), "");
  EXPECT_EQ(verdict(Disk{80, 20}), "warning");
  EXPECT_EQ(verdict(Disk{94, 6}), "warning");
  EXPECT_EQ(verdict(Disk{95, 5}), "not ready");
  EXPECT_EQ(verdict(Disk{100, 0}), "not ready");
  EXPECT_EQ(verdict(Disk{0, 0}), "") << "a file system that tells nothing";
  EXPECT_EQ(verdict(Disk{10, 90, 10'000, 500}), "not ready");
  EXPECT_EQ(verdict(Disk{10, 90, 10'000, 501}), "warning");
  EXPECT_EQ(verdict(Disk{10, 90, 100, 20}), "warning");
  EXPECT_EQ(verdict(Disk{10, 90, 0, 0}), "") << "inodes that are made as they are needed";
  EXPECT_EQ(verdict(judge_disk(nullptr)), "not ready");
}

TEST(Readiness, AttackATenantThatFillsMostOfALargeDiskTakesTheHostFromNobody) {
  EXPECT_EQ(verdict(Disk{98'000, 2'000}), "warning");
  EXPECT_EQ(verdict(Disk{99'936, 64}), "warning") << "64 MiB are left";
  EXPECT_EQ(verdict(Disk{99'937, 63}), "not ready");
  EXPECT_EQ(verdict(Disk{10, 90, 1'000'000, 1'024}), "warning");
  EXPECT_EQ(verdict(Disk{10, 90, 1'000'000, 1'023}), "not ready");
}

}  // namespace
}  // namespace oqto::ipc
