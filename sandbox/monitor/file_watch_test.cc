// Changes of files in a real directory.
#include "sandbox/monitor/test_files.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

TEST_F(Files, ThatAreMadeWrittenRemovedAndRenamedAreNamed) {
  write("old");
  write("gone");
  write("moved");
  begin();
  write("old");
  write("new");
  write("old");  // two in a row are one for the kernel
  fs::remove(dir_ + "/gone");
  fs::rename(dir_ + "/moved", dir_ + "/to");
  EXPECT_EQ(changes(), (Changes{"file.create /workspace/new 1", "file.update /workspace/old 2",
                                "file.delete /workspace/gone 1", "file.rename /workspace/moved /workspace/to 1"}));
}

TEST_F(Files, InDirectoriesThatWereMadeAMomentAgoAreNotMissed) {
  begin();
  fs::create_directories(dir_ + "/a/b/c");
  write("a/b/c/deep");
  EXPECT_EQ(changes(), (Changes{"file.create /workspace/a 1", "file.create /workspace/a/b 1",
                                "file.create /workspace/a/b/c 1", "file.create /workspace/a/b/c/deep 1"}));
  write("a/b/c/deep");
  EXPECT_EQ(changes(), (Changes{"file.update /workspace/a/b/c/deep 1"}));
}

TEST_F(Files, OfADirectoryThatWasRenamedHaveItsNewName) {
  fs::create_directories(dir_ + "/a/b");
  begin();
  fs::rename(dir_ + "/a", dir_ + "/z");
  settle();
  write("z/b/file");
  EXPECT_EQ(changes(), (Changes{"file.create /workspace/z/b/file 1", "file.rename /workspace/a /workspace/z 1"}));
}

TEST_F(Files, InCrowdedDirectoriesAreCountedAsOne) {
  fs::create_directories(dir_ + "/web/node_modules/x");
  fs::create_directories(dir_ + "/.git/objects/ab");
  begin();
  for (int i = 0; i < 300; ++i) write("web/node_modules/x/" + std::to_string(i));
  write(".git/objects/ab/cdef");
  const auto all = changes();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_TRUE(all[0].starts_with("file.update /workspace/.git/objects/ ")) << all[0];
  EXPECT_TRUE(all[1].starts_with("file.update /workspace/web/node_modules/ ")) << all[1];
}

TEST_F(Files, AttackAFloodIsBoundedAndEveryChangeIsCounted) {
  begin();
  constexpr int kFiles = 3000;
  for (int i = 0; i < kFiles; ++i) {
    write(std::to_string(i));
    if (i % 500 == 0) settle();
  }
  settle();
  watch_->flush();
  EXPECT_LE(recorder_.records.size(), kMaxChanges + 1);
  std::uint64_t counted = 0;
  for (const auto& record : recorder_.records) counted += std::stoull(value(record, FieldKey::count));
  EXPECT_GE(counted, static_cast<std::uint64_t>(kFiles));
}

TEST_F(Files, AttackALinkLeadsNowhere) {
  const std::string outside = dir_ + "-outside";
  fs::create_directories(outside + "/below");
  fs::create_directory_symlink(outside, dir_ + "/link");
  begin();
  std::ofstream(outside + "/below/secret") << "x";
  std::ofstream(outside + "/secret") << "x";
  EXPECT_EQ(changes(), Changes{});
  fs::remove_all(outside);
}

TEST_F(Files, AttackMoreDirectoriesThanAreWatchedAreSaidToBeMissing) {
  for (std::size_t i = 0; i < kMaxCrowdedDirectories + 8; ++i) {
    fs::create_directories(dir_ + "/node_modules/" + std::to_string(i));
  }
  begin();
  settle();
  watch_->flush();
  ASSERT_EQ(recorder_.records.size(), 1U);
  EXPECT_EQ(recorder_.records[0].outcome, ipc::Outcome::unknown);
  EXPECT_EQ(value(recorder_.records[0], FieldKey::truncated), "true");
}

TEST(CrowdedDirectory, IsTheOutermostOne) {
  EXPECT_EQ(crowded_directory("a/node_modules/b/node_modules/c"), "a/node_modules");
  EXPECT_EQ(crowded_directory(".git/objects/ab/c"), ".git/objects");
  EXPECT_EQ(crowded_directory("x/.git/objects/ab/c"), "x/.git/objects");
  EXPECT_EQ(crowded_directory("node_modules"), std::nullopt);
  EXPECT_EQ(crowded_directory(".git/config"), std::nullopt);
}

}  // namespace
}  // namespace oqto::sandbox
