// kill -9 of auditd and of the signer at random moments, a thousand times, and a cut at every byte of the
// last batch: nothing that was acknowledged is lost, and nothing is in the log that nobody sent.
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>
#include <set>

#include "audit/format/format.h"
#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;

constexpr std::string_view kMark = "\"request_id\":\"";

std::string id_of(const std::string& entry) {
  const std::size_t at = entry.find(kMark);
  if (at == entry.npos) return {};
  return entry.substr(at + kMark.size(), entry.find('"', at + kMark.size()) - at - kMark.size());
}

class Crash : public testing::TestWithParam<unsigned> {
 protected:
  static constexpr int kRounds = 125;  // of each of the eight

  void SetUp() override {
    host_.signer_arguments = {"--epoch-seconds", "0.02"};  // some crashes fall into its end
    host_.auditd_arguments = {"--segment-bytes", "200000"};
    ASSERT_TRUE(host_.start());
  }

  void send_some(int round) {
    auto channel = host_.source();
    const int count = 1 + static_cast<int>(random_() % 40);
    for (int i = 0; i < count; ++i) {
      const std::string id = std::to_string(round) + "." + std::to_string(i);
      auto append = record(Event::exec).add(FieldKey::request_id, id);
      append.request = static_cast<std::uint64_t>(i);
      if (!channel.send(append)) break;
      sent_.insert(id);
    }
    const int awaited = static_cast<int>(random_() % static_cast<unsigned>(count + 1));
    for (int answered = 0; answered < awaited;) {
      const auto answer = channel.wait(10'000);
      ASSERT_TRUE(answer);
      const auto appended = answer->as<ipc::AuditAppended>();
      if (!appended) {  // refused, while the signer was away
        ++answered;
        continue;
      }
      appended->each([&](std::uint64_t request, std::uint64_t index) {
        ++answered;
        acknowledged_.emplace_back(index, std::to_string(round) + "." + std::to_string(request));
      });
    }
    if (random_() % 2 == 0) ::usleep(static_cast<useconds_t>(random_() % 2000));
  }

  void crash() {
    switch (random_() % 4) {
      case 0:
        host_.kill_signer();
        host_.kill_auditd();
        ASSERT_TRUE(host_.start());
        break;
      case 1:
        host_.kill_signer();
        host_.rewire_signer();
        break;
      default:
        host_.kill_auditd();
        ASSERT_TRUE(host_.start_auditd());
    }
  }

  TestHost host_;
  std::mt19937 random_{GetParam()};  // NOLINT: the rounds are to be the same every time
  std::set<std::string> sent_;
  std::vector<std::pair<std::uint64_t, std::string>> acknowledged_;
};

TEST_P(Crash, KillingEitherLosesNothingThatWasAcknowledgedAndInventsNothing) {
  for (int round = 0; round < kRounds; ++round) {
    send_some(round);
    crash();
    if (HasFatalFailure()) return;
  }
  host_.stop();
  const auto entries = entries_of(host_);
  EXPECT_GT(acknowledged_.size(), 100U);
  for (const auto& [index, id] : acknowledged_) {
    ASSERT_LT(index, entries.size());
    EXPECT_EQ(id_of(entries[index]), id);
  }
  std::set<std::string> found;
  for (const std::string& entry : entries) {
    const std::string id = id_of(entry);
    if (id.empty()) continue;
    EXPECT_TRUE(sent_.contains(id)) << id;
    EXPECT_TRUE(found.insert(id).second) << id << " stands in it twice";
  }
  EXPECT_GT(count_events(entries, "epoch.seal"), 10U);
  const Output verified = host_.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
}
INSTANTIATE_TEST_SUITE_P(Rounds, Crash, testing::Range(0U, 8U));

// The keys before and after the last batch was signed, and the log's last segment.
class Cut : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(host_.start());
    ASSERT_TRUE(host_.client().append(record(Event::login).add(FieldKey::request_id, "kept")));
    host_.kill_auditd();
    host_.kill_signer();
    copy_directory(host_.key_dir(), keep_.path() + "/unsigned");
    before_ = batches_of(read_file(segment()));
    ASSERT_TRUE(host_.start());
    // The start's own batch is the one to be cut.
    host_.kill_auditd();
    host_.kill_signer();
    copy_directory(host_.key_dir(), keep_.path() + "/signed");
    copy_directory(host_.log_dir(), keep_.path() + "/log");
    const std::string all = read_file(segment());
    last_ = all.substr(0, before_.size() + read_batch(std::string_view(all).substr(before_.size())).length);
    ASSERT_GT(last_.size(), before_.size() + kNoteFrame);
  }
  [[nodiscard]] std::string segment() const {
    return host_.log_dir() + "/segment/" + files_beneath(host_.log_dir() + "/segment").back();
  }
  // The log with `size` bytes in its segment, or as many zeros as fill it up.
  void cut_to(std::size_t size, bool with_zeros, const char* keys) {
    host_.kill_auditd();
    host_.kill_signer();
    copy_directory(keep_.path() + "/log", host_.log_dir());
    copy_directory(keep_.path() + "/" + keys, host_.key_dir());
    const std::size_t room = with_zeros ? 4096 : 0;
    write_file(segment(), last_.substr(0, size) + std::string(room, '\0'));
  }

  TestHost host_;
  TempDir keep_;
  std::string before_, last_;
};

TEST_F(Cut, AnUnsignedBatchIsDroppedWhereverItEnds) {
  for (std::size_t size = before_.size(); size < last_.size() - kNoteFrame; ++size) {
    cut_to(size, size % 2 == 0, "unsigned");
    ASSERT_TRUE(host_.start()) << size;
    ASSERT_TRUE(host_.client().append(record(Event::logout).add(FieldKey::request_id, "next")));
    const auto entries = entries_of(host_);
    ASSERT_EQ(id_of(entries[2]), "kept") << size;
    ASSERT_EQ(id_of(entries.back()), "next") << size;
    if (size % 16 != 0) continue;
    host_.wait_for_checkpoint();
    ASSERT_EQ(host_.verify().status, 0) << host_.verify().out;
  }
}

// What was signed may have been acknowledged: it is finished where all of it is there, and where it is
// not, the log is not served.
TEST_F(Cut, ASignedBatchIsFinishedOrMissedWhereverItEnds) {
  const std::size_t frame = last_.size() - kNoteFrame;
  for (std::size_t size = before_.size(); size <= last_.size(); ++size) {
    // Between the first and the last byte of a part nothing new can come of it.
    if (size > frame + 40 && size < last_.size() - 40 && size % 16 != 0) continue;
    cut_to(size, size % 2 == 0, "signed");
    const bool is_served = host_.start();
    // In the note's room anything but zeros and the whole note is damage: never dropped silently.
    ASSERT_TRUE(is_served || size != frame) << size;
    ASSERT_TRUE(is_served || size != last_.size()) << size;
    ASSERT_TRUE(!is_served || size >= frame) << size;
    if (!is_served) continue;
    ASSERT_EQ(read_file(segment()).substr(0, frame), last_.substr(0, frame)) << size;
  }
}

}  // namespace
}  // namespace oqto::audit
