#include "gateway/audit_link.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <functional>
#include <set>

#include "base/sys.h"

namespace oqto::gateway {
namespace {

TEST(AuditLink, AttackAProvidersKeyNeverLeavesInARecord) {
  const std::string key = "sk-canary-51c09e7742";
  auto [ours, theirs] = *sys::seqpacket_pair();
  ipc::Channel auditd(std::move(theirs));
  asio::io_context io;
  AuditLink link(io, ipc::Channel(std::move(ours)), {"", key, "other-key"});
  ipc::AuditAppend record;
  record.event = ipc::Event::model_call;
  record.phase = ipc::Phase::outcome;
  record.add(ipc::FieldKey::reason, "401: " + key + " is no good, nor is " + key + "\n");
  record.add(ipc::FieldKey::host, key).add(ipc::FieldKey::model, "plain other-key");
  link.outcome(record);
  const auto received = auditd.wait(5000);
  ASSERT_TRUE(received);
  const auto got = received->as<ipc::AuditAppend>();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->list[0].value, "401: [redacted] is no good, nor is [redacted]\n");
  EXPECT_EQ(got->list[1].value, "[redacted]");
  EXPECT_EQ(got->list[2].value, "plain [redacted]");
}

constexpr std::size_t kMiB = std::size_t{1} << 20;

// The texts of model calls on their way into the log, with the test as auditd.
class Kept : public testing::Test {
 protected:
  explicit Kept(std::chrono::milliseconds patience = kStorePatience) : patience_(patience) {}
  std::unique_ptr<Contents> text_of(std::uint32_t account, std::size_t bytes) {
    auto contents = std::make_unique<Contents>(std::make_unique<MemoryBudget::Hold>(budget, account));
    for (std::size_t fed = 0; fed < bytes; fed += kMiB) contents->feed(std::string(std::min(kMiB, bytes - fed), 'x'));
    contents->finish();
    return contents;
  }
  void store(KeptText text, std::uint32_t account) {
    asio::co_spawn(
        io,
        [this, account, held = std::make_shared<KeptText>(std::move(text))]() -> asio::awaitable<void> {
          auto stored = co_await link->store(std::move(*held), account);
          answers.push_back(stored ? *stored : stored.error());
        },
        asio::detached);
    io.poll();
  }
  // The next blob that auditd gets.
  ipc::AuditBlob blob() {
    auto received = auditd.wait(5000);
    EXPECT_TRUE(received);
    const auto blob = *received->as<ipc::AuditBlob>();
    last_file = std::move(received->fd);
    return blob;
  }
  void run_until_answered(std::size_t count) {
    while (answers.size() < count) io.run_one();
  }
  // How much an account can still keep.
  std::size_t room_of(std::uint32_t account) {
    MemoryBudget::Hold hold(budget, account);
    std::size_t bytes = 0;
    while (hold.resize(bytes + kMiB)) bytes += kMiB;
    return bytes;
  }

  std::pair<Fd, Fd> ends = *sys::seqpacket_pair();
  ipc::Channel auditd{std::move(ends.second)};
  MemoryBudget budget{MemoryBudget::kContents};
  asio::io_context io;
  std::chrono::milliseconds patience_;
  std::optional<AuditLink> link{std::in_place, io, ipc::Channel(std::move(ends.first)), std::vector<std::string>{}, patience_};
  std::vector<std::string> answers;
  Fd last_file;
};

TEST_F(Kept, AttackAnAccountWhoseCallsDoNotEndKeepsNoOthersTextsOut) {
  std::vector<std::unique_ptr<Contents>> calls;  // answers that go on for ever
  for (int i = 0; i < 64; ++i) calls.push_back(text_of(1, 8 * kMiB));
  EXPECT_EQ(calls.back()->why_not(), "too much of this account waits to be stored");
  EXPECT_LE(std::ranges::count_if(calls, [](const auto& call) { return call->why_not().empty(); }), 8);
  for (std::uint32_t account = 2; account < 6; ++account) {
    calls.push_back(text_of(account, 8 * kMiB));
    EXPECT_EQ(calls.back()->why_not(), "") << account;
  }
}

TEST_F(Kept, WhatIsNotKeptTakesNoRoomAlsoWhileItsCallGoesOn) {
  const std::size_t before = room_of(1);
  const auto too_long = text_of(1, Contents::kMaxBytes + 1);
  EXPECT_EQ(too_long->why_not(), "it has more than 32 MiB");
  EXPECT_FALSE(too_long->take().file);
  EXPECT_EQ(room_of(1), before);
}

TEST_F(Kept, WhatIsStoredOrRefusedGivesItsRoomBackWhileItsCallGoesOn) {
  const std::size_t before = room_of(1);
  const auto first = text_of(1, 4 * kMiB), second = text_of(1, 4 * kMiB);
  store(first->take(), 1);
  store(second->take(), 1);
  const auto one = blob(), two = blob();
  EXPECT_LE(room_of(1), before - 8 * kMiB) << "auditd has them";
  ASSERT_TRUE(auditd.send(ipc::AuditBlobStored{one.request, {}, 0}));
  ASSERT_TRUE(auditd.send(ipc::AuditRefused{.request = two.request, .why = std::string_view("no")}));
  run_until_answered(2);
  EXPECT_EQ(answers[1], "no");
  EXPECT_EQ(room_of(1), before);
}

class KeptWithoutPatience : public Kept {
 protected:
  KeptWithoutPatience() : Kept(std::chrono::milliseconds(1)) {}
};

TEST_F(KeptWithoutPatience, AttackWhatAuditdStillHasKeepsItsRoomWhenNobodyWaitsAnyMore) {
  const std::size_t before = room_of(1);
  store(text_of(1, 4 * kMiB)->take(), 1);
  const auto one = blob();
  run_until_answered(1);
  EXPECT_EQ(answers[0], "the audit log does not answer");
  EXPECT_LE(room_of(1), before - 4 * kMiB);
  ASSERT_TRUE(auditd.send(ipc::AuditBlobStored{one.request, {}, 0}));
  const std::uint64_t end = sys::monotonic_ms() + 10'000;
  while (room_of(1) != before && sys::monotonic_ms() < end) io.poll();
  EXPECT_EQ(room_of(1), before);
}

TEST_F(Kept, AnAuditdThatEndsGivesTheRoomBack) {
  const std::size_t before = room_of(1);
  store(text_of(1, 4 * kMiB)->take(), 1);
  auditd = ipc::Channel();
  run_until_answered(1);
  EXPECT_EQ(room_of(1), before);
}

TEST_F(Kept, AttackATextThatAnAuditdStoredBeforeItEndedIsNotNamedToTheNext) {
  store(text_of(1, 10)->take(), 1);
  ASSERT_TRUE(auditd.send(ipc::AuditBlobStored{blob().request, {}, 0}));
  auditd = ipc::Channel();  // both are seen in one turn, before the call goes on
  run_until_answered(1);
  EXPECT_EQ(answers[0], "the audit log was started anew");
}

// What happens when auditd's end is closed, and `back` brings another one or not.
bool is_given_up(bool back) {
  auto [ours, theirs] = *sys::seqpacket_pair();
  asio::io_context io;
  AuditLink link(io, ipc::Channel(std::move(ours)), {}, kStorePatience, std::chrono::milliseconds(1));
  bool given_up = false;
  link.when_given_up([&] {
    given_up = true;
    io.stop();
  });
  theirs.reset();
  auto [another, of_auditd] = *sys::seqpacket_pair();
  if (back) {
    io.run_one();  // it sees the end
    link.replace(ipc::Channel(std::move(another)));
  }
  io.run_for(std::chrono::milliseconds(back ? 100 : 20'000));
  return given_up;
}

TEST(AuditLink, AttackAChannelThatAuditdCutsOffAndNobodyReplacesEndsTheProcess) {
  EXPECT_TRUE(is_given_up(false));
  EXPECT_FALSE(is_given_up(true)) << "auditd was started again";
}

TEST_F(Kept, AttackAnAccountWithManySmallTextsLeavesAPlaceForOthers) {
  for (int i = 0; i < 100; ++i) store(text_of(1, 10)->take(), 1);
  EXPECT_EQ(answers.size(), 92U) << "eight wait, the others are refused";
  for (std::uint32_t account = 2; account < 20; ++account) {
    for (int i = 0; i < 100; ++i) store(text_of(account, 10)->take(), account);
  }
  const std::size_t refused = answers.size();
  store(text_of(100, 10)->take(), 100);
  EXPECT_EQ(answers.size(), refused) << "its own waits like theirs";
}

ipc::AuditAppend outcome_of(std::uint64_t intent) {
  ipc::AuditAppend record;
  record.event = ipc::Event::model_call;
  record.phase = ipc::Phase::outcome;
  record.outcome = ipc::Outcome::success;
  record.intent = intent;
  record.add(ipc::FieldKey::reason, std::string(2000, 'x'));
  return record;
}

// auditd's end of a link, and the link's loop.
struct Pair {
  std::pair<Fd, Fd> ends = *sys::seqpacket_pair();
  ipc::Channel auditd{std::move(ends.second)};
  asio::io_context io;
  AuditLink link{io, ipc::Channel(std::move(ends.first))};

  // What auditd does with each record that comes, until `enough`.
  void serve(const std::function<void(const ipc::AuditAppend&)>& take, const std::function<bool()>& enough) {
    const std::uint64_t deadline = sys::monotonic_ms() + 20'000;
    while (!enough() && sys::monotonic_ms() < deadline) {
      io.run_for(std::chrono::milliseconds(5));
      io.restart();
      while (const auto received = auditd.receive()) {
        if (const auto record = received->as<ipc::AuditAppend>()) take(*record);
      }
    }
  }
};

TEST(AuditLink, AnOutcomeThatFoundNoRoomInTheChannelIsSentWhenThereIsSome) {
  constexpr std::uint64_t kMany = 1000;  // 2 MB: more than a socket holds
  Pair pair;
  for (std::uint64_t i = 0; i < kMany; ++i) pair.link.outcome(outcome_of(i));
  std::set<std::uint64_t> intents;
  std::uint64_t index = kMany;
  pair.serve(
      [&](const ipc::AuditAppend& record) {
        intents.insert(record.intent);
        (void)pair.auditd.send(ipc::AuditAppended{record.request, index++, 0});
      },
      [&] { return intents.size() == kMany; });
  EXPECT_EQ(intents.size(), kMany);
}

TEST(AuditLink, AnOutcomeThatTheLogRefusedIsSentAgain) {
  Pair pair;
  pair.link.outcome(outcome_of(7));
  int refusals = 0;
  bool is_taken = false;
  pair.serve(
      [&](const ipc::AuditAppend& record) {
        if (refusals++ == 0) {
          (void)pair.auditd.send(ipc::AuditRefused{record.request, "no room"});
        } else {
          EXPECT_EQ(record.intent, 7U);
          is_taken = true;
        }
      },
      [&] { return is_taken; });
  EXPECT_TRUE(is_taken);
}

TEST(AuditLink, AnIntentThatIsRecordedTooLateGetsAnOutcomeThatSaysNothingWasDone) {
  Pair pair;
  ipc::AuditAppend intent;
  intent.event = ipc::Event::model_call;
  intent.add(ipc::FieldKey::session, "s").add(ipc::FieldKey::model, "m");
  bool is_refused = false;
  asio::co_spawn(
      pair.io,
      [&]() -> asio::awaitable<void> { is_refused = !co_await pair.link.intent(std::move(intent)); },
      asio::detached);
  std::uint64_t request = 0;
  ipc::AuditAppend last;
  bool is_answered = false;
  pair.serve(
      [&](const ipc::AuditAppend& record) {
        last = record;
        if (record.phase == ipc::Phase::intent) request = record.request;
      },
      [&] {
        if (is_refused && !std::exchange(is_answered, true)) {
          (void)pair.auditd.send(ipc::AuditAppended{request, 41, 0});
        }
        return last.phase == ipc::Phase::outcome;
      });
  EXPECT_TRUE(is_refused);
  EXPECT_EQ(last.phase, ipc::Phase::outcome);
  EXPECT_EQ(last.intent, 41U);
  EXPECT_EQ(last.event, ipc::Event::model_call);
  EXPECT_EQ(last.outcome, ipc::Outcome::failure);
  ASSERT_EQ(last.list.size(), 2U);
  EXPECT_EQ(last.list[0].value, "s");
}

}  // namespace
}  // namespace oqto::gateway
