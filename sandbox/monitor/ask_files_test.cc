#include "sandbox/monitor/ask_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {
namespace {

class AskFilesTest : public testing::Test {
 protected:
  AskFilesTest() {
    char path[] = "/tmp/oqto-ask-XXXXXX";
    dir_ = ::mkdtemp(path);
    ::mkdir((dir_ + "/keys").c_str(), 0700);
    ::mkdir((dir_ + "/keys/deep").c_str(), 0700);
    write("/keys/deep/one", "first");
    write("/other", "outside");
  }
  ~AskFilesTest() override { std::filesystem::remove_all(dir_); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ + name) << text;
  }
  AskFiles files() const {
    std::vector<AskPath> paths;
    paths.push_back(*open_ask_path("/home/agent/keys", dir_ + "/keys", false));
    return AskFiles(std::move(paths));
  }
  static Result<std::string> read(AskFiles& files, const std::string& path) {
    const AskPath* ask = files.find(path);
    if (ask == nullptr) return fail(Errc::denied, "not an ask path");
    return sys::read_all(TRY(files.copy(*ask, path)), 1 << 20);
  }
  std::string dir_;
};

TEST_F(AskFilesTest, NamesAreThoseInside) {
  AskFiles asked = files();
  EXPECT_EQ(*read(asked, "/home/agent/keys/deep/one"), "first");
  for (const char* path : {"/home/agent", "/home/agent/keys2", "/home/agent/key", "/keys"}) {
    EXPECT_EQ(asked.find(path), nullptr) << path;
  }
}

TEST_F(AskFilesTest, AttackTheNearestWordDecidesNotTheFirst) {
  std::vector<AskPath> paths;
  paths.push_back(*open_ask_path("/home/agent", dir_, true));
  paths.push_back(*open_ask_path("/home/agent/keys", dir_ + "/keys", false));
  paths.push_back(denied_path("/home/agent/keys/deep"));
  const AskFiles asked(std::move(paths));
  EXPECT_TRUE(asked.find("/home/agent/other")->automatic);
  EXPECT_FALSE(asked.find("/home/agent/keys/x")->automatic);
  EXPECT_EQ(asked.find("/home/agent/keys/deep/one"), nullptr);
}

TEST_F(AskFilesTest, AChangedFileIsReadAnew) {
  AskFiles asked = files();
  EXPECT_EQ(*read(asked, "/home/agent/keys/deep/one"), "first");
  write("/keys/deep/one", "second");
  EXPECT_EQ(*read(asked, "/home/agent/keys/deep/one"), "second");
  write("/keys/deep/new", "put in place");
  std::filesystem::rename(dir_ + "/keys/deep/new", dir_ + "/keys/deep/one");
  EXPECT_EQ(*read(asked, "/home/agent/keys/deep/one"), "put in place");
}

TEST_F(AskFilesTest, AttackLinksAreNotFollowedAnywhere) {
  ASSERT_EQ(::symlink("../other", (dir_ + "/keys/file").c_str()), 0);
  ASSERT_EQ(::symlink("..", (dir_ + "/keys/up").c_str()), 0);
  AskFiles asked = files();
  EXPECT_FALSE(read(asked, "/home/agent/keys/file").has_value());
  EXPECT_FALSE(read(asked, "/home/agent/keys/up/other").has_value());
  ASSERT_EQ(::rename((dir_ + "/keys").c_str(), (dir_ + "/moved").c_str()), 0);
  ASSERT_EQ(::symlink("moved", (dir_ + "/keys").c_str()), 0);
  EXPECT_FALSE(read(asked, "/home/agent/keys/deep/one").has_value());
  EXPECT_FALSE(open_ask_path("/x", dir_ + "/keys/deep", false).has_value());
}

TEST_F(AskFilesTest, DirectoriesPipesAndTheAbsentAreNoFiles) {
  ASSERT_EQ(::mkfifo((dir_ + "/keys/pipe").c_str(), 0600), 0);
  const AskFiles asked = files();
  for (const char* path : {"/home/agent/keys", "/home/agent/keys/deep", "/home/agent/keys/pipe",
                           "/home/agent/keys/absent", "/home/agent/keys/deep/one/more"}) {
    EXPECT_FALSE(asked.is_file(*asked.find(path), path)) << path;
  }
  EXPECT_TRUE(asked.is_file(*asked.find("/home/agent/keys/deep/one"), "/home/agent/keys/deep/one"));
}

TEST_F(AskFilesTest, AttackAHugeFileIsRefused) {
  write("/keys/huge", "");
  ASSERT_EQ(::truncate((dir_ + "/keys/huge").c_str(), kMaxAskFileBytes + 1), 0);
  AskFiles asked = files();
  const auto copy = asked.copy(*asked.find("/home/agent/keys/huge"), "/home/agent/keys/huge");
  ASSERT_FALSE(copy.has_value());
  EXPECT_EQ(copy.error().code, Errc::limit);
}

TEST_F(AskFilesTest, OnlyAbsolutePathsBelowTheRootCanBeAskedFor) {
  for (const char* path : {"/", "relative", "", "/no/such/directory/file"}) {
    EXPECT_FALSE(open_ask_path("/x", path, false).has_value()) << path;
  }
}

TEST(ResolveText, IsWhatThePathSaysAndNeverAboveTheRoot) {
  EXPECT_EQ(resolve_text("/workspace", ".env"), "/workspace/.env");
  EXPECT_EQ(resolve_text("/workspace", "./a/.././.env"), "/workspace/.env");
  EXPECT_EQ(resolve_text("/workspace", "/etc//passwd/"), "/etc/passwd");
  EXPECT_EQ(resolve_text("/a/b", "../../../../c"), "/c");
  EXPECT_EQ(resolve_text("/", ".."), "/");
  EXPECT_EQ(resolve_text("/a", "..."), "/a/...");
}

}  // namespace
}  // namespace oqto::sandbox
