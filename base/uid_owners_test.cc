#include "base/uid_owners.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace oqto {
namespace {

class UidOwners : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/oqto-etc-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    etc_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(etc_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(etc_ + "/" + name) << text;
  }
  [[nodiscard]] std::string owner(std::uint64_t first, std::uint64_t count) const {
    return owner_of_uids(etc_, first, count);
  }

  std::string etc_;
};

TEST_F(UidOwners, ARangeThatNobodyHasIsFree) {
  EXPECT_EQ(owner(1'900'000'000, 200'000), "") << "no files at all";
  write("passwd",
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n+::::::\n\nno "
        "line\nx:y:z:0\n");
  write("subuid", "ann:100000:65536\n");
  EXPECT_EQ(owner(1'900'000'000, 200'000), "");
  EXPECT_EQ(owner(10'000, 50'000), "")
      << "what a rootless container with 65,536 ids is told to use";
  EXPECT_EQ(owner(165'536, 4096), "") << "right behind her range";
}

TEST_F(UidOwners, AttackAUserOrGroupOfTheMachineIsNeverATenant) {
  write("passwd", "root:x:0:0:root:/root:/bin/sh\nann:x:12000:100::/home/ann:/bin/sh\n");
  write("group", "wheel:x:13000:ann");
  EXPECT_EQ(owner(10'000, 4096), etc_ + "/passwd gives 12000 to ann");
  EXPECT_EQ(owner(7'905, 4096), etc_ + "/passwd gives 12000 to ann") << "it alone, the last one";
  EXPECT_EQ(owner(12'001, 4096), etc_ + "/group gives 13000 to wheel")
      << "with no newline behind it";
}

TEST_F(UidOwners, AttackARangeThatAUserMayTakeUnshareWithIsRefused) {
  write("subuid", "ann:100000:65536\n");
  write("subgid", "bob:300000:65536\n");
  EXPECT_EQ(owner(165'535, 4096), etc_ + "/subuid gives 100000 to 165535 to ann");
  EXPECT_EQ(owner(90'000, 1'000'000), etc_ + "/subuid gives 100000 to 165535 to ann")
      << "in the middle of it";
  EXPECT_EQ(owner(298'000, 4096), etc_ + "/subgid gives 300000 to 365535 to bob");
}

TEST_F(UidOwners, AttackDynamicUsersAndNobodyAreNoTenants) {
  for (const std::uint64_t first :
       {58'000ULL, 61'184ULL, 62'000ULL, 65'519ULL, 65'534ULL, 65'535ULL}) {
    EXPECT_NE(owner(first, 4096).find("systemd"), std::string::npos) << first;
  }
  EXPECT_EQ(owner(65'536, 4096), "");
  EXPECT_EQ(owner(55'905, 4096), "") << "60000 is the last";
}

TEST_F(UidOwners, WhatCannotBeReadIsAReason) {
  std::filesystem::create_directory(etc_ + "/passwd");
  EXPECT_NE(owner(1'900'000'000, 4096).find("cannot be read"), std::string::npos);
}

}  // namespace
}  // namespace oqto
