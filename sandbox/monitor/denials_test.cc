#include "sandbox/monitor/denials.h"

#include <gtest/gtest.h>

#include "sandbox/monitor/exec_log.h"

namespace oqto::sandbox {
namespace {

Denial denial(std::string what, std::string exe = "/usr/bin/x") {
  return {.process = 7,
          .exe = std::move(exe),
          .what = std::move(what),
          .rule = "namespaces",
          .reason = "because",
          .arguments = "[]",
          .path = {}};
}

std::string field(const ipc::AuditAppend& record, ipc::FieldKey key) {
  for (const auto& each : record.list) {
    if (each.key == key) return each.value;
  }
  return "";
}

TEST(Denials, AlikeOnesWithinASecondAreOneRecord) {
  Denials denials;
  std::uint64_t now = 1'000'000;
  (void)denials.add(denial("unshare"), now);
  (void)denials.add(denial("unshare"), now + 500);
  (void)denials.add(denial("mount"), now + 600);
  (void)denials.add(denial("unshare", "/usr/bin/y"), now + 600);
  EXPECT_FALSE(denials.take(now + 900).has_value());
  const auto first = denials.take(now + kJoinMs);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->event, ipc::Event::denial);
  EXPECT_EQ(field(*first, ipc::FieldKey::syscall), "unshare");
  EXPECT_EQ(field(*first, ipc::FieldKey::exe), "/usr/bin/x");
  EXPECT_EQ(field(*first, ipc::FieldKey::count), "2");
  EXPECT_EQ(field(*first, ipc::FieldKey::at).size(), std::string("2026-01-31T12:00:00.123Z").size());
  for (int i = 0; i < 2; ++i) {
    const auto other = denials.take(now + 2 * kJoinMs);
    ASSERT_TRUE(other.has_value());
    EXPECT_EQ(field(*other, ipc::FieldKey::count), "1") << "a record that could have been joined says how many it is";
  }
  EXPECT_FALSE(denials.take(now + 2 * kJoinMs).has_value());
  EXPECT_FALSE(denials.waits());
}

TEST(Denials, AreRecordedInTheOrderInWhichTheyHappened) {
  Denials denials;
  const std::uint64_t now = 1'000'000;
  (void)denials.add(denial("unshare"), now);
  (void)denials.add(denial("mount"), now + 1);
  (void)denials.add(denial("bpf"), now + 2);
  std::string order;
  while (const auto record = denials.take(now + 2 * kJoinMs)) order += field(*record, ipc::FieldKey::syscall) + " ";
  EXPECT_EQ(order, "unshare mount bpf ");
}

TEST(Denials, AttackAFloodMakesFewRecordsAndNoneIsLostFromTheCount) {
  Denials denials;
  std::uint64_t now = 1'000'000, added = 0, counted = 0, records = 0;
  const auto drain = [&](std::uint64_t at) {
    while (const auto record = denials.take(at)) {
      ++records;
      counted += std::stoull(field(*record, ipc::FieldKey::count));
    }
  };
  for (int second = 0; second < 60; ++second, now += 1000) {
    for (int i = 0; i < 1000; ++i, ++added) {  // a name of its own for each program
      (void)denials.add(denial("unshare", "/tmp/p" + std::to_string(added)), now);
    }
    drain(now);
  }
  EXPECT_LE(records, kDenialBurst + 60 + 1);
  while (denials.waits()) drain(now += 1000);
  EXPECT_EQ(counted, added);
}

TEST(Pace, LetsABoundedNumberGoInEachInterval) {
  Pace pace;
  std::uint64_t now = 5000;
  std::size_t gone = 0;
  for (std::size_t i = 0; i < 3 * kMaxPerPace; ++i) {
    if (pace.may_go(now)) {
      ++gone;
    } else {
      pace.hold({i, 1});
    }
  }
  EXPECT_EQ(gone, kMaxPerPace);
  EXPECT_FALSE(pace.release(now).has_value());
  now += kPaceMs;
  while (pace.release(now)) ++gone;
  EXPECT_EQ(gone, 2 * kMaxPerPace);
  now += kPaceMs;
  while (pace.release(now)) ++gone;
  EXPECT_EQ(gone, 3 * kMaxPerPace);
  EXPECT_FALSE(pace.holds());
}

}  // namespace
}  // namespace oqto::sandbox
