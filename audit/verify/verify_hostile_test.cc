// Directories that were made to end the auditor's program, to keep it busy, or to make it say what is not so.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "audit/format/format.h"
#include "audit/tests/test_log.h"
#include "audit/verify/verify.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEntriesMagic = "\xffOE1";

class VerifyHostile : public testing::Test {
 protected:
  static void SetUpTestSuite() { source_ = TestLog::write("60000", 300); }
  static void TearDownTestSuite() { source_.reset(); }
  void SetUp() override { copy_directory(source_->dir(), log_); }

  Output verify(const std::string& more = "") const {
    return run(oqto_audit("verify --log " + log_ + " --vkey " + source_->vkey_file() + " " + more));
  }
  // As somebody who may not read everything; root may.
  Output verify_as_nobody() const {
    fs::permissions(dir_.path(), fs::perms(0755));
    fs::copy_file(source_->vkey_file(), dir_.path() + "/vkey", fs::copy_options::overwrite_existing);
    return run("setpriv --reuid 65534 --regid 65534 --clear-groups " +
               oqto_audit("verify --log " + log_ + " --vkey " + dir_.path() + "/vkey"));
  }
  static void make_readable(const std::string& path) {
    fs::permissions(path, fs::perms(0755));
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      fs::permissions(entry.path(), fs::perms(entry.is_directory() ? 0755 : 0644));
    }
  }
  std::string segment(std::size_t number) const {
    return log_ + "/segment/" + files_beneath(log_ + "/segment").at(number);
  }
  static void make_sparse(const std::string& path, off_t bytes) {
    fs::create_directories(fs::path(path).parent_path());
    write_file(path, "");
    ASSERT_EQ(::truncate(path.c_str(), bytes), 0);
  }

  static inline std::unique_ptr<TestLog> source_;
  TempDir dir_;
  std::string log_ = dir_.path() + "/log";
};

TEST_F(VerifyHostile, AttackALogWithoutASegmentIsReportedAndEndsNothing) {
  for (const auto& entry : fs::directory_iterator(log_ + "/segment")) fs::remove(entry.path());
  const Output output = verify();
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "segment: holds no segment")) << output.out;
  EXPECT_TRUE(contains(output.out, "segment: lacks entries 0..")) << output.out;
  EXPECT_EQ(verify("--since " + source_->older_dir() + "/checkpoint").status, 1);
  EXPECT_EQ(run(oqto_audit("verify --json --log " + log_ + " --vkey " + source_->vkey_file())).status, 1);
  fs::remove_all(log_ + "/segment");
  EXPECT_EQ(verify().status, 1);
  fs::remove_all(log_ + "/tile");
  fs::remove(log_ + "/checkpoint");
  EXPECT_EQ(verify().status, 1) << "an empty directory is no log";
}

// A batch that is damaged, behind it beginnings of batches of 16 MiB that are none, again and again.
std::string full_of_false_beginnings(std::size_t bytes) {
  std::string head(kEntriesMagic);
  for (int i = 0; i < 12; ++i) head += '\x01';
  head += std::string("\0\0\xf0\0", 4);  // a body of 15 MiB
  const std::string note = encode_note_frame(7, "no checkpoint");
  std::string text;
  while (text.size() < bytes) text += head + head + note;
  return text;
}

TEST_F(VerifyHostile, AttackSegmentsFullOfFalseBeginningsAreGivenUp) {
  write_file(segment(1), full_of_false_beginnings(40 << 20));
  const Output output = verify();
  EXPECT_EQ(output.status, 1);
  EXPECT_TRUE(contains(output.out, "is full of beginnings of batches that are none")) << output.out;
}

TEST_F(VerifyHostile, AttackMarksOfSealsWithoutEntriesAreNotLookedForBackwards) {
  std::string marks;
  while (marks.size() < 32 << 20) marks += R"("event":"epoch.seal")";
  write_file(segment(1), marks);
  EXPECT_EQ(verify().status, 1);
}

TEST_F(VerifyHostile, AttackABatchOfEmptyEntriesTakesNoMemoryForEach) {
  std::string batches;
  const std::string body(kMaxBody - 2, '\0');
  for (int i = 0; i < 4; ++i) batches += encode_batch(0, static_cast<std::uint32_t>(body.size() / 2), body);
  write_file(segment(0), batches);
  EXPECT_EQ(verify().status, 1);
  rusage used{};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &used), 0);
  EXPECT_LT(used.ru_maxrss, 1'000'000) << "KiB, of the largest child so far";
}

// Thousands of files, each as large as one of its kind may be, and holding nothing.
TEST_F(VerifyHostile, AttackThousandsOfHostileFilesAreReportedInBoundedMemory) {
  for (int i = 0; i < 40; ++i) make_sparse(log_ + "/segment/" + segment_name(1'000'000 + 10 * static_cast<std::uint64_t>(i)), 90 << 20);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    make_sparse(log_ + "/" + tile_path(kEntriesLevel, 2000 + i, kTileWidth), 16 << 20);
    make_sparse(log_ + "/" + tile_path(0, 2000 + i, kTileWidth), off_t{1} << 40);
  }
  for (std::size_t width = 1; width < kTileWidth; ++width) {
    const std::string bundle = log_ + "/" + tile_path(kEntriesLevel, 0, width);
    if (!fs::exists(bundle)) make_sparse(bundle, 16 << 20);
  }
  for (int i = 0; i < 500; ++i) ASSERT_EQ(::mkfifo((log_ + "/tile/x" + std::to_string(i)).c_str(), 0600), 0);
  const Output output = verify();
  EXPECT_EQ(output.status, 1);
  EXPECT_TRUE(contains(output.out, "too much before is damaged")) << output.out.substr(0, 2000);
  EXPECT_TRUE(contains(output.out, "and ")) << "beyond a thousand findings they are counted";
  rusage used{};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &used), 0);
  EXPECT_LT(used.ru_maxrss, 1'000'000) << "KiB";
}

// --- what could not be read is not what was tampered with ---

TEST_F(VerifyHostile, WhatMayNotBeReadIsNotCalledTampering) {
  if (::geteuid() != 0) GTEST_SKIP() << "not possible here: needs root to become somebody else";
  make_readable(log_);
  const Output all = verify_as_nobody();
  if (!contains(all.out, "ok: ")) GTEST_SKIP() << "not possible here: nobody cannot run the program: " << all.out;
  const std::string tile = log_ + "/tile/0/000";
  for (const std::string& path :
       {segment(0), segment(1), segment(files_beneath(log_ + "/segment").size() - 1), log_ + "/segment", tile,
        log_ + "/tile/0", log_ + "/tile", log_ + "/checkpoint", log_ + "/tile/entries/000"}) {
    const auto before = fs::status(path).permissions();
    fs::permissions(path, fs::perms(0));
    const Output output = verify_as_nobody();
    EXPECT_EQ(output.status, 2) << path << "\n" << output.out;
    EXPECT_TRUE(contains(output.out, "not checked: ")) << path << "\n" << output.out;
    EXPECT_TRUE(contains(output.out, "Permission denied")) << path << "\n" << output.out;
    EXPECT_FALSE(contains(output.out, "FAILED")) << path << "\n" << output.out;
    fs::permissions(path, before);
  }
  // Damage elsewhere is damage all the same.
  fs::permissions(tile, fs::perms(0));
  write_file(log_ + "/tile/0/x", "x");
  EXPECT_EQ(verify_as_nobody().status, 1);
  fs::permissions(log_, fs::perms(0));
  EXPECT_EQ(verify_as_nobody().status, 2);
  fs::permissions(log_, fs::perms(0755));
}

TEST_F(VerifyHostile, AttackAFifoInPlaceOfAKeyIsNotWaitedFor) {
  const std::string fifo = dir_.path() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& arguments :
       {"verify --vkey " + fifo, "verify --vkey " + source_->vkey_file() + " --known " + fifo,
        "verify --vkey " + source_->vkey_file() + " --witness " + fifo, "check-proof " + fifo,
        "prove 0 --vkey " + fifo}) {
    const Output output = run("timeout 20 " + oqto_audit(arguments + (arguments.starts_with("check") ? "" : " --log " + log_)));
    EXPECT_EQ(output.status, 2) << arguments << "\n" << output.out;
  }
  const Output piped = run("bash -c '" + oqto_audit("verify --log " + log_ + " --vkey <(cat " + source_->vkey_file() + ")") + "'");
  EXPECT_EQ(piped.status, 0) << "what the shell hands over is read: " << piped.out;
  EXPECT_FALSE(contains(piped.out, "log's key alone")) << "both lines of it: " << piped.out;
}

TEST_F(VerifyHostile, TheKeysThemselvesMayStandInTheArgumentBothLinesOfThem) {
  const std::string both = read_file(source_->vkey_file());
  const Output two = run(oqto_audit("verify --log " + log_ + " --vkey " + quoted(both)));
  EXPECT_EQ(two.status, 0) << two.out;
  EXPECT_FALSE(contains(two.out, "log's key alone")) << two.out;
  const Output spaced = run(oqto_audit("verify --log " + log_ + " --vkey \"$(tr '\\n' ' ' < " + source_->vkey_file() + ")\""));
  EXPECT_EQ(spaced.status, 0) << spaced.out;
  EXPECT_FALSE(contains(spaced.out, "log's key alone")) << spaced.out;
  const Output one = run(oqto_audit("verify --log " + log_ + " --vkey " + std::string(first_line(both))));
  EXPECT_EQ(one.status, 0) << one.out;
  EXPECT_TRUE(contains(one.out, "the past is protected by the log's key alone")) << one.out;
  const std::string wrong = std::string(first_line(both)) + " " + std::string(first_line(both));
  EXPECT_EQ(run(oqto_audit("verify --log " + log_ + " --vkey " + quoted(wrong))).status, 2);
}

}  // namespace
}  // namespace oqto::audit
