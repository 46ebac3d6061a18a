// What the real auditd makes of the log that a crash, a power cut or an attacker left.
#include <gtest/gtest.h>
#include <unistd.h>

#include "audit/format/format.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;

std::string only_segment(const TestHost& host) {
  return host.log_dir() + "/segment/" + files_beneath(host.log_dir() + "/segment").back();
}

TEST(Recovery, ATornTailIsDroppedWhereverItWasCut) {
  TestHost host;
  ASSERT_TRUE(host.start());
  host.stop();
  // A batch that was begun but never signed, as a power cut leaves it: any part of it, or zeros.
  for (std::size_t cut = 1; cut < 700; cut += cut < 60 ? 7 : 53) {
    const std::string whole = batches_of(read_file(only_segment(host)));
    const std::uint64_t size = entries_of(host).size();
    std::string body;
    append_entry(body, R"({"seq":"torn"})");
    const std::string next = encode_batch(size, 1, body);
    std::string torn = next.substr(0, std::min(cut, next.size()));
    if (cut % 2 == 0) torn += std::string(100, '\0');
    write_file(only_segment(host), whole + torn);
    ASSERT_TRUE(host.start()) << cut;
    ASSERT_TRUE(host.client().append(record(Event::login)));
    host.stop();
    const auto entries = entries_of(host);
    ASSERT_EQ(entries.size(), size + 4);
    EXPECT_TRUE(contains(entries[size], "never acknowledged, was dropped")) << entries[size];
  }
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Recovery, ABatchThatWasSignedBeforeTheCrashIsFinished) {
  TestHost host;
  ASSERT_TRUE(host.start());
  for (const bool is_cut : {false, true}) {
    const auto index =
        host.client().append(record(Event::login).add(FieldKey::request_id, "192.0.2.1"));
    ASSERT_TRUE(index);
    host.kill_auditd();
    // The crash came after the signature and before its note was written.
    std::string segment = batches_of(read_file(only_segment(host)));
    segment.resize(segment.size() - kNoteFrame);
    if (!is_cut) segment += std::string(kNoteFrame, '\0');
    write_file(only_segment(host), segment);
    ASSERT_TRUE(host.start_auditd());
    ASSERT_TRUE(host.client().append(record(Event::logout)));
    EXPECT_TRUE(contains(entries_of(host).at(*index), "192.0.2.1"));
  }
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Recovery, ASignerWhoseLastSecondAPowerCutTookCatchesUpWithTheLog) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.append(record(Event::login)));
  host.kill_auditd();
  host.kill_signer();
  const std::string state = read_file(host.key_dir() + "/state");
  ASSERT_GT(state.size(), 4096U);
  write_file(host.key_dir() + "/state", state.substr(0, 4096));  // only what was settled is left
  ASSERT_TRUE(host.start());
  const auto index = host.client().append(record(Event::logout));
  ASSERT_TRUE(index);
  EXPECT_EQ(*index, 25U);  // behind the start, the gap, and the seal of the epoch before
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

// A host whose machine lost power: the signer knows only what it had settled, and the segment ends as
// the test says.
class PowerCut : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start());
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(host_.client().append(record(Event::login)));
    const auto index = host_.client().append(record(Event::admin).add(FieldKey::request_id, "last"));
    ASSERT_TRUE(index);
    last_ = *index;
    host_.kill_auditd();
    host_.kill_signer();
    batches_ = batches_of(read_file(only_segment(host_)));
    const std::string state = read_file(host_.key_dir() + "/state");
    write_file(host_.key_dir() + "/state", state.substr(0, 4096));
  }
  [[nodiscard]] std::string without_last_note() const {
    return batches_.substr(0, batches_.size() - kNoteFrame);
  }
  // A batch as it is before it is signed.
  [[nodiscard]] std::string under_way(const char* entry) const {
    std::string body;
    append_entry(body, entry);
    return encode_batch(last_ + 1, 1, body);
  }
  void end_with(const std::string& segment) {
    write_file(only_segment(host_), segment + std::string(4096, '\0'));
  }
  void expect_served() {
    ASSERT_TRUE(host_.start());
    ASSERT_TRUE(host_.client().append(record(Event::logout)));
    host_.stop();
    const auto entries = entries_of(host_);
    ASSERT_GT(entries.size(), last_);
    EXPECT_TRUE(contains(entries[last_], R"("request_id":"last")"));
    EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
  }

  TestHost host_;
  std::string batches_;
  std::uint64_t last_ = 0;
};

TEST_F(PowerCut, KeepsTheLastAcknowledgedBatchWhoseNoteDidNotReachTheDisk) {
  end_with(without_last_note());
  expect_served();
}

TEST_F(PowerCut, KeepsItWhereItsNoteIsTorn) {
  end_with(batches_.substr(0, batches_.size() - 512) + std::string(512, '\0'));
  expect_served();
}

TEST_F(PowerCut, DropsTheBatchBehindItThatWasUnderWay) {
  const std::string room(kNoteFrame, '\0');
  end_with(without_last_note() + room + under_way(R"({"seq":"nobody was told"})"));
  expect_served();
  for (const std::string& entry : entries_of(host_)) EXPECT_FALSE(contains(entry, "nobody was told"));
}

TEST_F(PowerCut, DropsPartsOfTheBatchBehindItInWhateverOrderTheyWereWritten) {
  std::string part = under_way(R"({"seq":"nobody was told"})");
  part.replace(0, 16, 16, '\0');
  end_with(without_last_note() + std::string(kNoteFrame, '\0') + part);
  expect_served();
}

TEST_F(PowerCut, AttackTwoBatchesBehindOneWithoutANoteAreNotCutAway) {
  std::string body;
  append_entry(body, R"({"seq":"a second"})");
  end_with(without_last_note() + std::string(kNoteFrame, '\0') + under_way(R"({"seq":"a first"})") +
           encode_batch(last_ + 2, 1, body));
  EXPECT_FALSE(host_.start());
  EXPECT_EQ(host_.auditd.wait(), 1);
}

TEST_F(PowerCut, AttackASignedBatchBehindOneWithoutANoteIsNotCutAway) {
  std::string next = under_way(R"({"seq":"signed"})");
  next.resize(next.size() - kNoteFrame);
  end_with(without_last_note() + std::string(kNoteFrame, '\0') + next +
           encode_note_frame(last_ + 2, "a note"));
  EXPECT_FALSE(host_.start());
  EXPECT_EQ(host_.auditd.wait(), 1);
}

// Reading a large log takes auditd longer than the signer waits before it ends an epoch by itself.
TEST_F(PowerCut, NoSealIsMadeBeforeTheSignerHasSeenWhatItForgot) {
  host_.signer_arguments = {"--epoch-seconds", "0.001"};
  host_.start_signer();
  ::usleep(3'500'000);  // longer than its grace
  ASSERT_TRUE(host_.start_auditd());
  ASSERT_TRUE(host_.client().append(record(Event::logout)));
  host_.stop();
  EXPECT_EQ(host_.verify().status, 0) << host_.verify().out;
  EXPECT_EQ(count_events(entries_of(host_), "admin"), 1U);
}

TEST(Recovery, AttackARolledBackLogIsNotServed) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  host.stop();
  TempDir backup;
  copy_directory(host.log_dir(), backup.path() + "/log");
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::admin)));
  host.stop();
  copy_directory(backup.path() + "/log", host.log_dir());
  EXPECT_FALSE(host.start());
  EXPECT_EQ(host.auditd.wait(), 1);
  EXPECT_EQ(entries_of(host).size(), 5U);  // and it is left as it is
}

TEST(Recovery, AttackAnEmptiedLogIsNotServed) {
  TestHost host;
  ASSERT_TRUE(host.start());
  host.stop();
  ASSERT_EQ(::unlink(only_segment(host).c_str()), 0);
  EXPECT_FALSE(host.start());
  EXPECT_EQ(host.auditd.wait(), 1);
}

TEST(Recovery, AttackADamagedBatchInTheMiddleIsNotCutAwayAsATornTail) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.append(record(Event::login)));
  host.stop();
  std::string segment = read_file(only_segment(host));
  segment[segment.size() / 2] = static_cast<char>(segment[segment.size() / 2] ^ 1);
  write_file(only_segment(host), segment);
  EXPECT_FALSE(host.start());
  EXPECT_EQ(host.auditd.wait(), 1);
  EXPECT_EQ(read_file(only_segment(host)), segment);
}

TEST(Recovery, AttackALogOfAnotherSignerIsNotServed) {
  TestHost host;
  ASSERT_TRUE(host.start());
  host.stop();
  for (const std::string& file : files_beneath(host.key_dir())) {
    ASSERT_EQ(::unlink((host.key_dir() + "/" + file).c_str()), 0);
  }
  EXPECT_FALSE(host.start());
  EXPECT_EQ(host.auditd.wait(), 1);
}

}  // namespace
}  // namespace oqto::audit
