#include "sandbox/init/mounts.h"

#include <gtest/gtest.h>

namespace oqto::sandbox {
namespace {

TEST(MountCheck, SurvivesItsText) {
  for (const bool read_only : {false, true}) {
    for (const bool empty : {false, true}) {
      const MountCheck check{
          .read_only = read_only, .empty = empty, .id = {7, 1ULL << 63}, .path = "/a b/c"};
      const auto again = MountCheck::parse(check.text());
      ASSERT_TRUE(again.has_value()) << check.text();
      EXPECT_EQ(again->read_only, read_only);
      EXPECT_EQ(again->empty, empty);
      EXPECT_EQ(again->id, check.id);
      EXPECT_EQ(again->path, check.path);
    }
  }
  for (const char* bad : {"", "r", "r 1", "r 1 2", "r 1 2 relative", "r x 2 /a", "r 1 2 /a/../b"}) {
    EXPECT_FALSE(MountCheck::parse(bad).has_value()) << bad;
  }
}

constexpr const char* kFine =
    "30 1 0:25 /root / ro,nosuid,nodev,relatime - tmpfs tmpfs rw\n"
    "31 30 0:26 / /proc rw,nosuid,nodev,noexec - proc proc rw\n"
    "32 30 0:5 /null /dev/null rw,nosuid,noexec - devtmpfs dev rw\n";

TEST(MountTable, AcceptsWhatTheStageBuilds) {
  std::string where;
  EXPECT_TRUE(verify_mount_table(kFine, where).has_value()) << where;
}

TEST(MountTable, RefusesMountsThatAreSharedWithTheHostOrHonourSetUserId) {
  const std::string rest = " - ext4 /dev/vda rw\n";
  for (const char* bad :
       {"40 30 8:1 /x /workspace rw,nosuid,nodev shared:1", "40 30 8:1 /x /workspace rw,nodev",
        "40 30 8:1 /x /workspace rw,nosuid,nodev a:1 master:2", "40 30 8:1 /x /workspace rw,nosuid",
        "40 30 8:1 /x /workspace rw,nosuid,nodevx"}) {
    std::string where;
    EXPECT_FALSE(verify_mount_table(kFine + (bad + rest), where).has_value()) << bad;
    EXPECT_EQ(where, "/workspace");
  }
}

}  // namespace
}  // namespace oqto::sandbox
