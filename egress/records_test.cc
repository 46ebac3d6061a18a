// How refusals are joined: what one attempt asks for is one record, and each says how many it stands for.
#include "egress/records.h"

#include <gtest/gtest.h>

#include <vector>

namespace oqto::egress {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Kept final : public Records {
 public:
  asio::awaitable<Result<std::uint64_t>> intent(ipc::AuditAppend) override {
    co_return fail(Errc::unavailable, "not used here");
  }
  void note(ipc::AuditAppend record) override { list.push_back(std::move(record)); }
  [[nodiscard]] std::string field(std::size_t number, ipc::FieldKey key) const {
    for (const auto& field : list.at(number).list) {
      if (field.key == key) return field.value;
    }
    return "";
  }
  std::vector<ipc::AuditAppend> list;
};

Refusal name(std::string host) { return {ipc::Event::denial, std::move(host), 0, "not in the policy"}; }

TEST(Refusals, ANameThatWasRefusedOnceIsOneRecord) {
  Kept kept;
  Refusals refusals(kept);
  const Time start = Clock::now();
  refusals.add(name("evil.test"), start);                     // A
  refusals.add(name("evil.test"), start + milliseconds(3));   // AAAA, of the same attempt
  for (int second = 0; second < 200; ++second) refusals.flush(start + seconds(second));
  refusals.flush(Time::max());
  ASSERT_EQ(kept.list.size(), 1U) << "not again when a minute is over";
  EXPECT_EQ(kept.field(0, ipc::FieldKey::host), "evil.test");
  EXPECT_EQ(kept.field(0, ipc::FieldKey::count), "2");
  EXPECT_NE(kept.field(0, ipc::FieldKey::at), "");
}

TEST(Refusals, EveryRefusalIsCountedInExactlyOneRecord) {
  Kept kept;
  Refusals refusals(kept);
  const Time start = Clock::now();
  constexpr int kTimes = 1000;
  for (int i = 0; i < kTimes; ++i) {
    refusals.add(name(i % 2 == 0 ? "a.test" : "b.test"), start + seconds(i));
    refusals.flush(start + seconds(i));
  }
  refusals.flush(Time::max());
  int counted = 0;
  for (std::size_t i = 0; i < kept.list.size(); ++i) {
    counted += std::stoi(kept.field(i, ipc::FieldKey::count));
    EXPECT_NE(kept.field(i, ipc::FieldKey::at), "");
  }
  EXPECT_EQ(counted, kTimes);
  EXPECT_LT(kept.list.size(), 80U);
}

TEST(Refusals, AttackManyNamesAreFewRecordsAndNoneIsLostFromTheCount) {
  Kept kept;
  Refusals refusals(kept);
  const Time start = Clock::now();
  constexpr int kNames = 10'000;
  for (int i = 0; i < kNames; ++i) refusals.add(name("n" + std::to_string(i) + ".test"), start);
  refusals.flush(Time::max());
  EXPECT_LE(kept.list.size(), kMaxKinds + 1);
  int counted = 0;
  for (std::size_t i = 0; i < kept.list.size(); ++i) counted += std::stoi(kept.field(i, ipc::FieldKey::count));
  EXPECT_EQ(counted, kNames);
}

}  // namespace
}  // namespace oqto::egress
