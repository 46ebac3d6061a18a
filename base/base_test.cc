#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "base/encoding.h"
#include "base/range_lock.h"
#include "base/sys.h"

namespace oqto {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(Errc::invalid, "odd");
  return value / 2;
}
Result<int> quarter(int value) { return TRY(half(TRY(half(value)))); }

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().code, Errc::invalid);
}

TEST(Fd, ClosesOnceAndSurvivesSelfMove) {
  auto pair = sys::stream_pair();
  const int number = pair->first.get();
  Fd& fd = pair->first;
  fd = std::move(fd);
  EXPECT_EQ(fd.get(), number);
  fd.reset();
  EXPECT_LT(::fcntl(number, F_GETFD), 0);
}

class Beneath : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/oqto-base-XXXXXX";
    root = ::mkdtemp(name);
    std::filesystem::create_directories(root / "in");
    std::filesystem::create_symlink("/etc", root / "in/link");
    std::filesystem::create_symlink("../../", root / "in/up");
    dir = *sys::open_dir((root / "in").c_str());
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  std::filesystem::path root;
  Fd dir;
};

TEST_F(Beneath, AttackLeavingTheDirectoryIsRefused) {
  for (const char* path : {"link/passwd", "../x", "/etc/passwd", "up/in", "link", "/proc/self/root"}) {
    EXPECT_FALSE(sys::open_beneath(dir, path, O_RDONLY).has_value()) << path;
  }
  EXPECT_TRUE(sys::open_beneath(dir, "new", O_CREAT | O_WRONLY, 0600).has_value());
}

TEST(SealedMemfd, CannotBeChangedByItsReceiver) {
  const Fd fd = *sys::sealed_memfd("x", "content");
  EXPECT_LT(::write(fd.get(), "y", 1), 0);
  EXPECT_LT(::ftruncate(fd.get(), 0), 0);
  EXPECT_EQ(*sys::read_all(fd, 100), "content");
}

TEST(ReadAll, RefusesMoreThanItsBound) {
  const Fd fd = *sys::sealed_memfd("x", std::string(101, 'x'));
  EXPECT_EQ(sys::read_all(fd, 100).error().code, Errc::limit);
}

TEST(Base64Url, AcceptsOnlyTheCanonicalSpelling) {
  const std::vector<std::uint8_t> bytes{0xff, 0xee, 0xdd, 0xcc};
  EXPECT_EQ(to_base64url(bytes), "_-7dzA");
  EXPECT_EQ(from_base64url("_-7dzA"), bytes);
  for (const char* bad : {"_-7dzB", "_-7dzA=", "/+7dzA", "_", "_-7 dzA"}) {
    EXPECT_FALSE(from_base64url(bad).has_value()) << bad;
  }
}

TEST(Utf8, RefusesWhatIsNotUtf8) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) EXPECT_TRUE(is_valid_utf8(good));
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf8\x88\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << bad;
  }
}

TEST(Time, IsWrittenAsRfc3339WithoutATimeZoneFile) {
  EXPECT_EQ(sys::utc_text(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(sys::utc_text(1'769'860'805'007), "2026-01-31T12:00:05.007Z");
  EXPECT_EQ(sys::utc_text(951'827'696'999), "2000-02-29T12:34:56.999Z");
}

TEST(Process, ThatIsGoneHasNoNameAndNobodyLoggedIn) {
  EXPECT_EQ(sys::process_name(::getpid()), "base_test");
  constexpr pid_t kNone = 0x7fff'ffff;  // more than there can be
  EXPECT_EQ(sys::process_name(kNone), "");
  EXPECT_EQ(sys::login_uid(kNone), std::nullopt);
}

// In a process of its own: the kernel's locks are a process's, and it may take again what it has.
std::string refusal_in_child(const std::string& directory, std::uint64_t first, std::uint64_t count) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const Fd out = Fd::adopt(ends[0]);
  Fd in = Fd::adopt(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto taken = RangeLock::take(directory, first, count, "/second");
    (void)sys::write_all(in, taken ? std::string("taken") : taken.error());
    ::_exit(0);
  }
  in.reset();
  const std::string said = sys::read_all(out, 4096).value_or("");
  (void)::waitpid(pid, nullptr, 0);
  return said;
}

TEST(RangeLock, RefusesARangeThatOverlapsAndSaysWhoHasIt) {
  char name[] = "/tmp/oqto-range-XXXXXX";
  const std::string directory = std::string(::mkdtemp(name)) + "/run/oqto";
  {
    const auto first = RangeLock::take(directory, 1000, 100, "/first");
    ASSERT_TRUE(first) << first.error();
    const std::string whose = "pid " + std::to_string(::getpid()) + " (/first) has 1000 to 1099";
    for (const std::uint64_t overlapping : {901U, 1000U, 1050U, 1099U}) {
      const std::string said = refusal_in_child(directory, overlapping, 100);
      EXPECT_NE(said.find(whose), std::string::npos) << said;
    }
    EXPECT_EQ(refusal_in_child(directory, 900, 100), "taken");
    EXPECT_EQ(refusal_in_child(directory, 1100, 100), "taken");
  }
  EXPECT_EQ(refusal_in_child(directory, 1000, 100), "taken") << "whoever had it has ended";
  std::filesystem::remove_all(name);
}

TEST(RangeLock, AttackAPlantedDirectoryOrLinkIsRefused) {
  char name[] = "/tmp/oqto-range-XXXXXX";
  const std::string top = ::mkdtemp(name);
  std::filesystem::create_symlink("/tmp", top + "/link");
  EXPECT_FALSE(RangeLock::take(top + "/link", 1, 1, "x"));
  ASSERT_EQ(::mkdir((top + "/open").c_str(), 0700), 0);
  ASSERT_EQ(::chmod((top + "/open").c_str(), 0777), 0);
  const auto open = RangeLock::take(top + "/open", 1, 1, "x");
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().find(top + "/open"), std::string::npos) << open.error();
  std::filesystem::remove_all(top);
}

TEST(Uuid, ReadsWhatItWritesAndNothingElse) {
  const Uuid id = Uuid::random();
  EXPECT_EQ(Uuid::parse(id.text()), id);
  EXPECT_EQ(id.text()[14], '4');
  for (const char* bad : {"", "00000000-0000-0000-0000-00000000000", "0000000000000000-0000-0000-0000-0000",
                          "00000000-0000-0000-0000-00000000000G", "../../../../../../../../../../../../"}) {
    EXPECT_FALSE(Uuid::parse(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace oqto
