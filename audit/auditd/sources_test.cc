// Who sends records to the real oqto-auditd: what each gets, and what hostile ones do to the others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using ipc::Phase;

TEST(Auditd, AttackARecordCannotNameItsActor) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ipc::AuditClient client(host.source(ipc::Process::runner, 7, "ann", 4242, 20001));
  auto forged = record(Event::login);
  forged.list = {{FieldKey::account, "1"},
                 {FieldKey::username, "root\",\"actor\":{\"uid\":0}"},
                 {FieldKey::uid, "0"},
                 {FieldKey::process, "accounts"}};
  const auto index = client.append(forged);
  ASSERT_TRUE(index);
  const std::string entry = entries_of(host)[*index];
  EXPECT_TRUE(contains(
      entry, R"("actor":{"process":"runner","account":7,"username":"ann","pid":4242,"uid":20001})"))
      << entry;
  EXPECT_EQ(entry.find("\"actor\":"), entry.rfind("\"actor\":"));
}

TEST(Auditd, AttackAMalformedRecordEndsItsSenderAloneAndIsRecorded) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto good = host.client();
  auto bad = host.source();
  ASSERT_TRUE(bad.send(ipc::Ready{}));
  EXPECT_EQ(bad.wait(5000).error().code, Errc::unavailable);
  const auto index = good.append(record(Event::logout));
  ASSERT_TRUE(index);
  EXPECT_TRUE(contains(entries_of(host)[*index - 1], "not an audit record"));
}

TEST(Auditd, AttackAFloodingSourceDoesNotStarveAnother) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto flood = host.source();
  auto client = host.client();
  const std::string big(ipc::kMaxFieldBytes, '\x01');
  for (int i = 0; i < 50; ++i) {
    for (int k = 0; k < 20; ++k) {
      (void)flood.send(record(Event::exec).add(FieldKey::argv, big).add(FieldKey::argv, big));
    }
    ASSERT_TRUE(client.append(record(Event::login)));
  }
}

// However many channels a tenant fills, of each batch it gets a share, and every other source its own.
TEST(Auditd, AttackATenantThatFillsManyChannelsGetsOneShareOfABatch) {
  TestHost host;
  ASSERT_TRUE(host.start());
  constexpr std::uint64_t kShare = 64;  // records of one tenant in one turn
  std::vector<ipc::Channel> flood;
  for (int i = 0; i < 40; ++i) flood.push_back(host.source(ipc::Process::session, 8, "bob"));
  auto channel = host.source();
  ipc::AuditClient client(host.source());
  ASSERT_TRUE(client.append(record(Event::login)));
  for (int round = 0; round < 5; ++round) {
    const auto before = client.append(record(Event::login));
    ASSERT_TRUE(before);
    ASSERT_EQ(::kill(host.auditd.pid, SIGSTOP), 0);
    std::uint64_t sent = 0;
    for (auto& one : flood) {
      for (int i = 0; i < 10 && one.send(record(Event::exec)); ++i) ++sent;
    }
    ASSERT_GT(sent, 4 * kShare);
    ASSERT_TRUE(channel.send(record(Event::logout)));
    ASSERT_EQ(::kill(host.auditd.pid, SIGCONT), 0);
    const auto answer = channel.wait(10'000);
    ASSERT_TRUE(answer);
    const auto appended = answer->as<ipc::AuditAppended>();
    ASSERT_TRUE(appended);
    // All were ready when it went on: this one is in the first batch, or the kernel's list began behind.
    EXPECT_LE(appended->index, *before + 2 * kShare + 2);
    for (std::uint64_t answered = 0; answered < sent; ::usleep(1000)) {  // nothing is left for the next round
      for (auto& one : flood) {
        while (one.receive()) ++answered;
      }
    }
  }
}

TEST(Auditd, AttackARecordThatOnlyAuditdMakesIsCutOff) {
  TestHost host;
  ASSERT_TRUE(host.start());
  for (const Event event : {Event::epoch_seal, Event::clock_step, Event::log_gap, Event::log_full}) {
    EXPECT_FALSE(host.client().append(record(event).add(FieldKey::note, "forged")));
  }
  ASSERT_TRUE(host.client().append(record(Event::login)));
  host.stop();
  const auto entries = entries_of(host);
  EXPECT_EQ(count_events(entries, "violation"), 4U);
  EXPECT_EQ(count_events(entries, "epoch.seal"), 2U);
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Auditd, WhatACutOffSourceHadStillSentIsCounted) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_EQ(::kill(host.auditd.pid, SIGSTOP), 0);
  auto bad = host.source();
  ASSERT_TRUE(bad.send(ipc::Ready{}));
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(bad.send(record(Event::exec)));
  ASSERT_EQ(::kill(host.auditd.pid, SIGCONT), 0);
  EXPECT_EQ(bad.wait(5000).error().code, Errc::unavailable);
  ASSERT_TRUE(host.client().append(record(Event::login)));
  const auto entries = entries_of(host);
  EXPECT_EQ(count_events(entries, "log.gap"), 1U);
  EXPECT_TRUE(std::ranges::any_of(entries, [](const std::string& entry) {
    return contains(entry, R"("event":"log.gap")") && contains(entry, R"("count":"7")");
  }));
}

TEST(Auditd, ARecordThatIsRefusedTimeAndAgainIsCountedOnce) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  host.kill_signer();
  auto channel = host.source();
  auto kept = record(Event::exec);
  for (int i = 0; i < 300; ++i) {
    kept.request = static_cast<std::uint64_t>(1 + i % 3);
    ASSERT_TRUE(channel.send(kept));
    const auto answer = channel.wait(10'000);
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->tag, ipc::Tag::audit_refused);
  }
  host.rewire_signer();
  for (int i = 0; i < 1000 && count_events(entries_of(host), "log.gap") == 0; ++i) ::usleep(10'000);
  std::string counted;
  for (const std::string& entry : entries_of(host)) {
    if (contains(entry, R"("event":"log.gap")")) counted += entry;
  }
  EXPECT_TRUE(contains(counted, R"("count":"3")")) << counted;
}

TEST(Auditd, RecordsRefusedWithoutASignerAreCountedForEachSource) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  ASSERT_TRUE(client.append(record(Event::login)));
  host.kill_signer();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(client.append(record(Event::admin)));
  host.rewire_signer();
  Result<std::uint64_t> index = fail(Errc::unavailable, "");
  std::uint64_t refused = 3;
  for (int i = 0; i < 200 && !index; ++i) {
    index = client.append(record(Event::logout));
    if (index) break;
    ++refused;
    ::usleep(10'000);
  }
  ASSERT_TRUE(index);
  std::string counted;
  for (const std::string& entry : entries_of(host)) {
    if (contains(entry, R"("event":"log.gap")")) counted += entry;
  }
  EXPECT_TRUE(contains(counted, "\"count\":\"" + std::to_string(refused) + "\"")) << counted;
  EXPECT_TRUE(contains(counted, R"("process":"runner")")) << counted;
}

TEST(Auditd, ManyClientsAreAllAnsweredWithDistinctIndices) {
  TestHost host;
  ASSERT_TRUE(host.start());
  constexpr int kClients = 100;
  constexpr int kRecords = 20;
  std::vector<ipc::Channel> channels;
  for (int i = 0; i < kClients; ++i) channels.push_back(host.source());
  std::vector<bool> seen(2 + kClients * kRecords);
  for (int round = 0; round < kRecords; ++round) {
    for (auto& channel : channels) ASSERT_TRUE(channel.send(record(Event::exec)));
    for (auto& channel : channels) {
      const auto answer = channel.wait(10'000);
      ASSERT_TRUE(answer);
      const auto appended = answer->as<ipc::AuditAppended>();
      ASSERT_TRUE(appended);
      ASSERT_LT(appended->index, seen.size());
      EXPECT_FALSE(seen[appended->index]);
      seen[appended->index] = true;
    }
  }
  EXPECT_EQ(host.stop_auditd(), 0);
  const Output verified = host.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
}

TEST(Auditd, OneAnswerCanBeForManyRecordsOfOneSource) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto channel = host.source();
  constexpr std::uint64_t kFirst = 40, kRecords = 200;
  std::map<std::uint64_t, std::uint64_t> indices;
  auto append = record(Event::exec);
  for (append.request = kFirst; append.request < kFirst + kRecords; ++append.request) {
    append.list = {{FieldKey::request_id, std::to_string(append.request)}};
    ASSERT_TRUE(channel.send(append));
  }
  std::size_t answers = 0;
  while (indices.size() < kRecords) {
    const auto answer = channel.wait(10'000);
    ASSERT_TRUE(answer);
    const auto appended = answer->as<ipc::AuditAppended>();
    ASSERT_TRUE(appended);
    ++answers;
    appended->each([&](std::uint64_t request, std::uint64_t index) {
      EXPECT_TRUE(indices.emplace(request, index).second) << request;
    });
  }
  EXPECT_LT(answers, kRecords);
  EXPECT_EQ(host.stop_auditd(), 0);
  const auto entries = entries_of(host);
  for (const auto& [request, index] : indices) {
    ASSERT_LT(index, entries.size());
    EXPECT_TRUE(contains(entries[index], "\"request_id\":\"" + std::to_string(request) + "\""));
  }
}

}  // namespace
}  // namespace oqto::audit
