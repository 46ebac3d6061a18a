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

TEST(Readiness, ADiskIsJudgedByRoomAndInodesAsDfDoes) {
  const auto at = [](fsblkcnt_t used, fsblkcnt_t left, fsfilcnt_t files = 0,
                     fsfilcnt_t files_left = 0) {
    struct statvfs disk {};
    constexpr fsblkcnt_t kOfRoot = 7;  // neither used nor to be had
    disk.f_blocks = used + left + kOfRoot;
    disk.f_bfree = left + kOfRoot;
    disk.f_bavail = left;
    disk.f_files = files + files_left;
    disk.f_ffree = disk.f_favail = files_left;
    return verdict(judge_disk(&disk));
  };
  EXPECT_EQ(at(79, 21), "");
  EXPECT_EQ(at(80, 20), "warning");
  EXPECT_EQ(at(94, 6), "warning");
  EXPECT_EQ(at(95, 5), "not ready");
  EXPECT_EQ(at(100, 0), "not ready");
  EXPECT_EQ(at(0, 0), "") << "a file system that tells nothing";
  EXPECT_EQ(at(10, 90, 95, 5), "not ready");
  EXPECT_EQ(at(10, 90, 80, 20), "warning");
  EXPECT_EQ(at(10, 90, 0, 0), "") << "inodes that are made as they are needed";
  EXPECT_EQ(verdict(judge_disk(nullptr)), "not ready");
}

}  // namespace
}  // namespace oqto::ipc
