// What a watch of files cannot see is said; what it can see in the end is seen.
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox/monitor/test_files.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

class Holes : public Files {
 protected:
  // What was said to be missing, as "path count: why".
  std::vector<std::string> missing() {
    settle();
    watch_->flush();
    std::vector<std::string> all;
    for (const auto& record : recorder_.records) {
      if (record.outcome != ipc::Outcome::unknown) continue;
      EXPECT_EQ(value(record, FieldKey::truncated), "true");
      all.push_back(value(record, FieldKey::path) + ' ' + value(record, FieldKey::count) + ": " +
                    value(record, FieldKey::reason));
    }
    return all;
  }
  [[nodiscard]] bool is_recorded(ipc::Event event, const std::string& path) const {
    return std::ranges::any_of(recorder_.records, [&](const auto& record) {
      return record.event == event && value(record, FieldKey::path) == "/workspace/" + path;
    });
  }
  // As the session's user, whom permissions bind.
  static uid_t become(uid_t user) {
    const uid_t before = ::geteuid();
    if (before == 0 || user == 0) {
      EXPECT_EQ(::seteuid(user), 0);
    }
    return before;
  }
};

TEST_F(Holes, AttackADirectoryThatMustNotBeReadIsSaidToBeOne) {
  constexpr uid_t kUser = 1'650'000'123;
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(dir_.c_str(), kUser, kUser), 0);
  }
  const uid_t before = become(kUser);
  begin();
  ASSERT_EQ(::mkdir((dir_ + "/dark").c_str(), 0333), 0);
  write("dark/file");
  ASSERT_EQ(::mkdir((dir_ + "/darker").c_str(), 0333), 0);
  const auto said = missing();
  ASSERT_EQ(::chmod((dir_ + "/dark").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((dir_ + "/darker").c_str(), 0700), 0);
  (void)become(before);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_TRUE(said[0].starts_with("/workspace/dark 2: directories that must not be read"))
      << said[0];
}

TEST_F(Holes, AttackADeepOrLongDirectoryIsSaidToBeOne) {
  begin();
  std::string deep = "d";
  for (std::size_t i = 0; i < kMaxDirectoryDepth; ++i) deep += "/d";
  fs::create_directories(dir_ + "/" + deep);
  const std::string name(200, 'n');
  std::string wide = name;
  for (int i = 0; i < 6; ++i) wide += '/' + name;
  fs::create_directories(dir_ + "/" + wide);
  const auto said = missing();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find(" 2: directories deeper than 64"), std::string::npos) << said[0];
}

// Each rename of a parent would make what we keep of each directory longer.
TEST_F(Holes, AttackARenameThatMakesPathsTooLongIsSaidAndEndsTheirWatch) {
  const std::string name(200, 'n');
  std::string below;
  for (int i = 0; i < 4; ++i) below += '/' + name;
  fs::create_directories(dir_ + "/a" + below);
  begin();
  // The last one has 4 * 201 bytes more than its top, which gets 255.
  const std::string top(255, 't');
  ASSERT_EQ(::rename((dir_ + "/a").c_str(), (dir_ + "/" + top).c_str()), 0);
  settle();
  write(top + below + "/file");
  write(top + "/file");
  const auto said = missing();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_TRUE(said[0].starts_with("/workspace/" + top)) << said[0];
  EXPECT_NE(said[0].find("directories deeper than 64"), std::string::npos) << said[0];
  EXPECT_FALSE(is_recorded(ipc::Event::file_create, top + below + "/file"));
  EXPECT_TRUE(is_recorded(ipc::Event::file_create, top + "/file"));
}

TEST_F(Holes, AttackEventsThatOverflowAreSaidAndWhatWasMadeMeanwhileIsWatched) {
  std::ifstream bound("/proc/sys/fs/inotify/max_queued_events");
  int most = 0;
  ASSERT_TRUE(bound >> most);
  begin();
  for (int i = 0; i < most; ++i) {  // each is an event, no two alike in a row
    const std::string path = dir_ + "/f" + std::to_string(i % 64);
    ASSERT_TRUE(
        static_cast<bool>(Fd::adopt(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600))));
  }
  fs::create_directories(dir_ + "/late/below");
  for (int i = 0; i < most / 8192 + 2; ++i) settle();
  write("late/below/file");
  const auto said = missing();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_TRUE(said[0].starts_with(" 1: changes came faster")) << said[0];
  EXPECT_TRUE(is_recorded(ipc::Event::file_create, "late/below/file"));
}

TEST_F(Holes, AttackDirectoriesThatChangePlacesHaveTheirNewNames) {
  fs::create_directories(dir_ + "/a/in_a");
  fs::create_directories(dir_ + "/b/in_b");
  begin();
  ASSERT_EQ(::renameat2(AT_FDCWD, (dir_ + "/a").c_str(), AT_FDCWD, (dir_ + "/b").c_str(),
                        RENAME_EXCHANGE),
            0);
  settle();
  write("a/file");
  write("b/file");
  write("a/in_b/file");
  write("b/in_a/file");
  EXPECT_EQ(missing().size(), 1U);
  for (const char* path : {"a/file", "b/file", "a/in_b/file", "b/in_a/file"}) {
    EXPECT_TRUE(is_recorded(ipc::Event::file_create, path)) << path;
  }
}

TEST_F(Holes, AttackADirectoryThatMovesAwayBeforeWeLookIsFollowed) {
  begin();
  fs::create_directory(dir_ + "/a");
  ASSERT_TRUE(loop_.run_once(0));  // we know that it was made, and have not looked
  fs::rename(dir_ + "/a", dir_ + "/z");
  fs::create_directory(dir_ + "/a");
  write("z/before");
  settle();
  write("z/after");
  write("a/after");
  EXPECT_EQ(missing(), std::vector<std::string>{});
  for (const char* path : {"z/before", "z/after", "a/after"}) {
    EXPECT_TRUE(is_recorded(ipc::Event::file_create, path)) << path;
  }
}

TEST_F(Holes, AttackWhatIsDoneJustBeforeTheEndIsRead) {
  begin();
  constexpr int kFiles = 6000;
  for (int i = 0; i < kFiles; ++i) write(std::to_string(i));
  fs::create_directories(dir_ + "/last/below");
  write("last/below/file");
  watch_->flush();
  std::uint64_t counted = 0;
  for (const auto& record : recorder_.records)
    counted += std::stoull(value(record, FieldKey::count));
  EXPECT_GE(counted, static_cast<std::uint64_t>(kFiles) + 3);
}

TEST_F(Holes, WhatIsInADirectoryMadeJustBeforeTheEndIsNamed) {
  begin();
  fs::create_directories(dir_ + "/last/below");
  write("last/below/file");
  watch_->flush();
  EXPECT_TRUE(is_recorded(ipc::Event::file_create, "last/below/file"));
}

TEST_F(Holes, AttackARenameIntoACrowdedDirectoryBlindsUsForNoOther) {
  fs::create_directories(dir_ + "/a");
  fs::create_directories(dir_ + "/node_modules");
  begin();
  fs::rename(dir_ + "/a", dir_ + "/node_modules/a");
  settle();
  fs::remove(dir_ + "/node_modules/a");
  settle();
  fs::create_directory(dir_ + "/node_modules/b");
  settle();
  write("node_modules/b/file");
  EXPECT_EQ(missing(), std::vector<std::string>{});
}

TEST_F(Holes, AWorkspaceThatTheKernelDoesNotLetUsWatchIsSaidToBeOne) {
  watch_.emplace(recorder_, *sys::open_dir(dir_.c_str()), "/workspace");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Status attached = watch_->attach(loop_);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(attached);
  const auto said = missing();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_TRUE(said[0].starts_with(" 1: the kernel does not let")) << said[0];
}

TEST_F(Holes, WhatIsMissingIsSaidAgainWhenItHappensAgain) {
  begin();
  std::string deep = "d";
  for (std::size_t i = 0; i < kMaxDirectoryDepth; ++i) deep += "/d";
  fs::create_directories(dir_ + "/" + deep);
  EXPECT_EQ(missing().size(), 1U);
  recorder_.records.clear();
  fs::create_directories(dir_ + "/" + deep + "2");
  EXPECT_EQ(missing().size(), 1U);
}

}  // namespace
}  // namespace oqto::sandbox
