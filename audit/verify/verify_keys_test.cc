// Tenants' keys beside the log, and times, as `verify` judges them.
#include <gtest/gtest.h>

#include <filesystem>

#include "audit/tests/test_log.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

class VerifyKeys : public testing::Test {
 protected:
  static void SetUpTestSuite() { source_ = TestLog::write("60000", 40); }
  static void TearDownTestSuite() { source_.reset(); }
  void SetUp() override {
    copy_directory(source_->dir(), log_);
    key_ = log_ + "/keys/7/" + files_beneath(log_ + "/keys/7").front();
  }
  Output verify() const { return run(source_->host().verify_command(log_)); }

  static inline std::unique_ptr<TestLog> source_;
  TempDir dir_;
  std::string log_ = dir_.path() + "/log";
  std::string key_;
};

TEST_F(VerifyKeys, OfAGoodLogSayNothing) {
  const Output output = verify();
  EXPECT_EQ(output.status, 0) << output.out;
  EXPECT_FALSE(contains(output.out, "note:")) << output.out;
}

TEST_F(VerifyKeys, ACopyWithoutThemVerifiesAndSaysWhatItLacks) {
  fs::remove_all(log_ + "/keys");
  const Output output = verify();
  EXPECT_EQ(output.status, 0) << output.out;
  EXPECT_TRUE(contains(output.out, "personal fields, which were not opened")) << output.out;
}

TEST_F(VerifyKeys, AttackAKeyThatWasRemovedIsADefect) {
  fs::remove(key_);
  const Output output = verify();
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "is not there, with which entry ")) << output.out;
  EXPECT_TRUE(contains(output.out, "no entry says that it was erased")) << output.out;
}

TEST_F(VerifyKeys, AttackAnotherTenantsKeyInItsPlaceIsADefect) {
  const std::string other = log_ + "/keys/8/" + fs::path(key_).filename().string();
  fs::copy_file(other, key_, fs::copy_options::overwrite_existing);
  const Output output = verify();
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "is another key than entry ")) << output.out;
  EXPECT_FALSE(contains(output.out, "keys/8")) << output.out;
}

TEST_F(VerifyKeys, AttackAMarkThatItWasErasedIsNotBelievedWithoutAnEntry) {
  ASSERT_EQ(run(oqto_audit("shred --log " + log_ + " --tenant 7 --day " + fs::path(key_).filename().string())).status, 0);
  const Output output = verify();
  EXPECT_EQ(output.status, 1) << output.out;
  EXPECT_TRUE(contains(output.out, "was destroyed, with which entry ")) << output.out;
}

TEST_F(VerifyKeys, AKeyThatWasErasedAsAnEntrySaysIsNone) {
  const Fd dir = *sys::open_dir(log_.c_str());
  const std::string day = fs::path(key_).filename().string();
  fs::remove(key_);
  const auto judged = [&](const std::string& process, const std::string& of_day) {
    Verification v{.dir = dir, .key = source_->vkey()};
    std::uint64_t index = 0;
    for (const std::string& entry : entries_of(source_->host())) v.keys.add(index++, entry);
    v.keys.add(index, R"({"seq":9,"time":1,"event":"key.erase","phase":"intent","actor":{"process":")" + process +
                          R"("},"fields":{"account":"7","day":")" + of_day + R"("}})");
    v.keys.judge(v);
    return std::pair(v.report.defects, v.report.remarks.size());
  };
  EXPECT_EQ(judged("auditd", day), std::pair(std::uint64_t{0}, std::size_t{1}));
  EXPECT_EQ(judged("runner", day).first, 1U) << "only auditd's own word counts";
  EXPECT_EQ(judged("auditd", "2020-01-01").first, 1U);
}

// --- times ---

class VerifyTimes : public testing::Test {
 protected:
  void add(std::uint64_t time, const char* event = "exec") {
    const std::string index = std::to_string(index_);
    times_.add(index_++, R"({"seq":)" + index + R"(,"time":)" + std::to_string(time) + R"(,"event":")" + event +
                             R"(","fields":{}})");
  }
  TimeNotes times_;
  std::uint64_t index_ = 0;
};

TEST_F(VerifyTimes, ThatGoBackUnannouncedAreNoticed) {
  add(1'000'000);
  add(999'000);
  EXPECT_EQ(times_.backwards, 0U) << "a second is nobody's clock";
  add(900'000);
  EXPECT_EQ(times_.backwards, 1U);
  EXPECT_EQ(times_.first_back, 2U);
}

TEST_F(VerifyTimes, ThatTheLogSaysWereSetAreNot) {
  add(1'000'000);
  add(1'000'000, "clock.step");
  add(10'000);
  add(10'500);
  add(5, "clock.step");
  add(6);
  EXPECT_EQ(times_.backwards, 0U);
  EXPECT_EQ(times_.newest_ms, 1'000'000U);
}

}  // namespace
}  // namespace oqto::audit
