// A tenant's share of the log in a day: the arithmetic, and the real oqto-auditd with two tenants.
#include "audit/auditd/budget.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using ipc::Phase;
using Stage = Budget::Stage;

constexpr std::uint64_t kDay = 86'400'000;

TEST(Budget, IsFreeThenSlowThenUsedUpAndSaysEachOnce) {
  Budget budget({.bytes = 1000, .records = 1000, .slow_bytes = 100, .slow_records = 10});
  (void)budget.begin_day(5 * kDay);
  std::vector<std::pair<int, Stage>> stages;
  std::uint64_t now = 50'000;
  for (int i = 0; i < 20; ++i) {
    if (const auto stage = budget.charge(7, 100, now)) stages.emplace_back(i, *stage);
  }
  EXPECT_EQ(stages, (std::vector<std::pair<int, Stage>>{{4, Stage::slow}, {9, Stage::used_up}}));
  EXPECT_EQ(budget.stage(7), Stage::used_up);
  EXPECT_EQ(budget.stage(8), Stage::free) << "another tenant";
  EXPECT_EQ(budget.wait_ms(8, now), 0U);
}

TEST(Budget, WhoIsSlowGetsWhatTheRateAllowsAndNoMore) {
  Budget budget({.bytes = 1'000'000, .records = 1000, .slow_bytes = 100'000, .slow_records = 10});
  std::uint64_t now = 50'000;
  for (int i = 0; i < 500; ++i) (void)budget.charge(7, 1, now);
  ASSERT_EQ(budget.stage(7), Stage::slow);
  int taken = 0;
  for (const std::uint64_t end = now + 10'000; now < end; ++now) {
    if (budget.wait_ms(7, now) > 0) continue;
    (void)budget.charge(7, 1, now);
    ++taken;
  }
  EXPECT_GE(taken, 100) << "ten each second";
  EXPECT_LE(taken, 111) << "and one second's worth at once";
}

TEST(Budget, AnotherDayBeginsAnewAndSaysHowManyWereRefused) {
  Budget budget({.bytes = 100, .records = 10, .slow_bytes = 100, .slow_records = 10});
  EXPECT_TRUE(budget.begin_day(5 * kDay).empty());
  (void)budget.charge(7, 1000, 1);
  (void)budget.charge(8, 10, 1);
  EXPECT_FALSE(budget.admits(7, Budget::Reserve::none));
  for (int i = 0; i < 3; ++i) budget.charge_refusal(7, 1);
  EXPECT_TRUE(budget.begin_day(5 * kDay + kDay - 1).empty()) << "the same day";
  EXPECT_FALSE(budget.admits(7, Budget::Reserve::none));
  EXPECT_EQ(budget.begin_day(6 * kDay), (std::map<std::uint32_t, std::uint64_t>{{7, 3}}));
  EXPECT_TRUE(budget.admits(7, Budget::Reserve::none));
  EXPECT_EQ(budget.wait_ms(7, 1), 0U);
}

TEST(Budget, OutcomesHaveAReserveThatEndsToo) {
  Budget budget({.bytes = 16'000, .records = 1'000'000, .slow_bytes = 100, .slow_records = 10});
  (void)budget.charge(7, 16'000, 1);
  EXPECT_FALSE(budget.admits(7, Budget::Reserve::none));
  EXPECT_TRUE(budget.admits(7, Budget::Reserve::half));
  (void)budget.charge(7, 500, 1);
  EXPECT_FALSE(budget.admits(7, Budget::Reserve::half));
  EXPECT_TRUE(budget.admits(7, Budget::Reserve::whole));
  (void)budget.charge(7, 500, 1);
  EXPECT_FALSE(budget.admits(7, Budget::Reserve::whole));
}

// Records of our own processes are never slowed: what they tell of a tenant may not make it wait for hours.
TEST(Budget, AttackAFloodOfRefusalsMakesItsTenantWaitTwoSecondsAtMost) {
  Budget budget({.bytes = 16'000, .records = 1'000'000, .slow_bytes = 100, .slow_records = 10});
  (void)budget.charge(7, 16'000, 10'000);
  for (int i = 0; i < 10'000; ++i) budget.charge_refusal(7, 10'000);
  EXPECT_GT(budget.wait_ms(7, 10'000), 0U);
  EXPECT_LE(budget.wait_ms(7, 10'000), 2000U);
}

ipc::AuditAppend numbered(std::uint64_t request, Event event, std::string_view padding) {
  auto one = record(event);
  one.request = request;
  return one.add(FieldKey::request_id, padding);
}

// Sends until a record is refused for the budget; how many were taken until then, or -1.
int flood(ipc::Channel& channel, std::string_view padding, const std::function<void()>& meanwhile) {
  int taken = 0;
  for (std::uint64_t request = 1; request < 20'000;) {
    if (channel.send(numbered(request, Event::exec, padding))) ++request;
    const auto answer = channel.wait(request % 32 == 0 ? 10'000 : 0);
    if (!answer) continue;
    if (const auto appended = answer->as<ipc::AuditAppended>()) taken += 1 + appended->before;
    const auto refused = answer->as<ipc::AuditRefused>();
    if (refused && refused->reason == ipc::RefusedFor::budget) {
      EXPECT_TRUE(contains(refused->why.str(), "00:00 UTC")) << "it says when that ends";
      return taken;
    }
    meanwhile();
  }
  return -1;
}

TEST(AuditBudget, AttackATenantThatFillsTheLogIsSlowedThenRefusedAndNobodyElseIs) {
  TestHost host;
  constexpr std::size_t kBytes = 400'000;
  host.auditd_arguments = {"--tenant-bytes", std::to_string(kBytes)};
  ASSERT_TRUE(host.start());
  auto attacker = host.source(ipc::Process::session, 8, "bob");
  ipc::AuditClient other(host.source(ipc::Process::runner, 7, "ann"));
  const std::string padding(12'000, 'x');
  int appended = 0;
  const int taken = flood(attacker, padding, [&] {
    ASSERT_TRUE(other.append(record(Event::login))) << "the other tenant's records are taken all the time";
    ++appended;
  });
  ASSERT_GT(taken, 0);
  EXPECT_GT(appended, 0);
  // Our own processes' records of that tenant: what has happened is recorded, what it wants is not done.
  ipc::AuditClient gateway(host.source(ipc::Process::gateway, 0, ""));
  EXPECT_TRUE(gateway.append(record(Event::model_call).add(FieldKey::account, "8")));
  EXPECT_FALSE(gateway.append(record(Event::model_call, Phase::intent).add(FieldKey::account, "8")));
  EXPECT_TRUE(gateway.append(record(Event::model_call, Phase::intent).add(FieldKey::account, "7")));
  ipc::AuditClient accounts(host.source(ipc::Process::accounts, 0, ""));
  EXPECT_TRUE(accounts.append(record(Event::login, Phase::intent).add(FieldKey::account, "8")))
      << "strangers who guess a password do not use up its owner's share";
  std::size_t bytes = 0, stages = 0;
  for (const std::string& entry : entries_of(host)) {
    if (contains(entry, R"("event":"exec")")) bytes += entry.size();
    if (contains(entry, R"("event":"budget")") && contains(entry, R"("account":"8")")) ++stages;
  }
  EXPECT_EQ(stages, 2U) << "slowed, refused: one record each";
  EXPECT_GE(bytes, kBytes - 20'000);
  EXPECT_LE(bytes, kBytes + 40'000U) << "a batch of its share may be under way";
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(AuditBudget, AttackRecordsFullOfControlCharactersAreChargedAsTheyStandInTheLog) {
  TestHost host;
  constexpr std::size_t kBytes = 600'000;
  host.auditd_arguments = {"--tenant-bytes", std::to_string(kBytes)};
  ASSERT_TRUE(host.start());
  auto attacker = host.source(ipc::Process::session, 8, "bob");
  ASSERT_GT(flood(attacker, std::string(1000, '\x01'), [] {}), 0);
  std::size_t bytes = 0;
  for (const std::string& entry : entries_of(host)) bytes += contains(entry, R"("event":"exec")") ? entry.size() : 0;
  // One batch may be on its way when the rate begins to hold: 64 records. By what they are on the wire they
  // would have been six times as many.
  EXPECT_LE(bytes, kBytes + 450'000);
}

TEST(AuditBudget, WhatWasBegunIsConcludedWhenTheShareIsUsedUp) {
  TestHost host;
  host.auditd_arguments = {"--tenant-records", "40"};
  ASSERT_TRUE(host.start());
  ipc::AuditClient runner(host.source(ipc::Process::runner, 8, "bob"));
  const auto intent = runner.append(record(Event::command, Phase::intent));
  ASSERT_TRUE(intent);
  ipc::AuditClient agent(host.source(ipc::Process::session, 8, "bob"));
  Result<std::uint64_t> last = 0;
  for (int i = 0; i < 100 && last; ++i) last = agent.append(record(Event::exec));
  ASSERT_FALSE(last) << "used up";
  EXPECT_TRUE(contains(last.error().what, "00:00 UTC")) << last.error().what;
  EXPECT_TRUE(runner.append(record(Event::command, Phase::intent))) << "who commands can still stop it";
  bool refused = false;
  for (int i = 0; i < 100 && !refused; ++i) refused = !runner.append(record(Event::command, Phase::intent)).has_value();
  ASSERT_TRUE(refused) << "but not for ever";
  auto outcome = record(Event::command, Phase::outcome);
  outcome.intent = *intent;
  EXPECT_TRUE(runner.append(outcome));
}

TEST(AuditBudget, ASlowedTenantsOtherSourcesHaveTheirTurn) {
  TestHost host;
  host.auditd_arguments = {"--tenant-records", "4000"};
  ASSERT_TRUE(host.start());
  auto busy = host.source(ipc::Process::session, 8, "bob");
  ipc::AuditClient runner(host.source(ipc::Process::runner, 8, "bob"));
  std::uint64_t request = 1;
  while (count_events(entries_of(host), "budget") == 0 && request < 4000) {
    for (int i = 0; i < 50; ++i) {
      if (busy.send(numbered(request, Event::exec, ""))) ++request;
      while (busy.receive()) {
      }
    }
    ::usleep(10'000);
  }
  ASSERT_EQ(count_events(entries_of(host), "budget"), 1U);
  for (int i = 0; i < 2000 && busy.send(numbered(request, Event::exec, "")); ++i) ++request;  // all it can hold
  const auto before = count_events(entries_of(host), "exec");
  ASSERT_TRUE(runner.append(record(Event::command, Phase::intent), 60'000));
  const auto behind = count_events(entries_of(host), "exec") - before;
  EXPECT_LE(behind, 200U) << "it waited for its turn, not for the whole flood";
}

}  // namespace
}  // namespace oqto::audit
