// What stands in tile/ while a log grows, checkpoint by checkpoint.
#include "audit/auditd/derived.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "audit/tests/test_host.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

class DerivedTiles : public testing::Test {
 protected:
  void SetUp() override { fs::create_directory(dir_.path() + "/tmp"); }

  DerivedFiles restarted() { return DerivedFiles(*sys::open_dir(dir_.path().c_str())); }

  // One entry more, and a checkpoint of it.
  void grow(DerivedFiles& files, std::size_t entry_bytes) {
    const std::string entry = std::to_string(size_) + std::string(entry_bytes, 'x');
    tiles_.append(entry, leaf_hash(entry));
    for (const TileFile& full : tiles_.take_full()) ASSERT_TRUE(files.write_full(full));
    ASSERT_TRUE(files.write_checkpoint(tiles_.partials(), std::to_string(++size_) + "\n"));
  }

  [[nodiscard]] std::string file(int level, std::size_t width) const {
    return dir_.path() + "/" + tile_path(level, 0, width);
  }

  TempDir dir_;
  Tiles tiles_;
  std::size_t size_ = 0;
};

TEST_F(DerivedTiles, OfEveryCheckpointStayUntilTheFullTileIsThere) {
  DerivedFiles files = restarted();
  for (std::size_t size = 1; size < kTileWidth; ++size) {
    grow(files, 20);
    for (std::size_t width = 1; width <= size; ++width) {
      ASSERT_EQ(fs::file_size(file(0, width)), width * sizeof(Hash)) << "of " << size;
      ASSERT_EQ(split_body(read_file(file(kEntriesLevel, width))).entries.size(), width);
    }
  }
  grow(files, 20);
  for (const int level : {0, kEntriesLevel}) {
    EXPECT_TRUE(fs::exists(file(level, kTileWidth)));
    EXPECT_FALSE(fs::exists(file(level, kTileWidth) + ".p"));
  }
  EXPECT_TRUE(fs::exists(file(1, 1)));
}

TEST_F(DerivedTiles, ThatAPowerCutEmptiedAreMadeAgain) {
  {
    DerivedFiles files = restarted();
    for (int i = 0; i < 30; ++i) grow(files, 20);
  }
  const std::string hashes = read_file(file(0, 9));
  const std::string bundle = read_file(file(kEntriesLevel, 9));
  write_file(file(0, 9), "");
  write_file(file(kEntriesLevel, 9), bundle.substr(0, 50));
  write_file(file(kEntriesLevel, kTileWidth) + ".p/200", "wider than the log");
  write_file(file(0, kTileWidth) + ".p/x", "");
  DerivedFiles files = restarted();
  grow(files, 20);
  EXPECT_EQ(read_file(file(0, 9)), hashes);
  EXPECT_EQ(read_file(file(kEntriesLevel, 9)), bundle);
  EXPECT_FALSE(fs::exists(file(kEntriesLevel, 200)));
  EXPECT_FALSE(fs::exists(file(0, kTileWidth) + ".p/x"));
}

TEST_F(DerivedTiles, AttackLongEntriesDoNotFillTheDiskWithHalfFullBundles) {
  DerivedFiles files = restarted();
  for (int i = 0; i < 80; ++i) grow(files, 60'000);
  std::uintmax_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(file(kEntriesLevel, kTileWidth) + ".p")) {
    bytes += entry.file_size();
  }
  EXPECT_LE(bytes, DerivedFiles::kMaxBundles);
  for (std::size_t width = 1; width <= 80; ++width) EXPECT_TRUE(fs::exists(file(0, width)));
  EXPECT_TRUE(fs::exists(file(kEntriesLevel, 80)));
  EXPECT_FALSE(fs::exists(file(kEntriesLevel, 20)));
}

}  // namespace
}  // namespace oqto::audit
