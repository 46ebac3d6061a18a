// The real oqto-auditd and oqto-audit-signer, with this test as their guard.
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

TEST(Auditd, ARecordIsInTheLogWhenItIsAcknowledged) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  const auto index = client.append(record(Event::login).add(FieldKey::request_id, "192.0.2.1"));
  ASSERT_TRUE(index);
  host.kill_auditd();
  host.kill_signer();
  const auto entries = entries_of(host);
  ASSERT_EQ(entries.size(), *index + 1);
  EXPECT_TRUE(contains(entries[0], R"("event":"epoch.seal")"));
  EXPECT_TRUE(contains(entries[1], R"("event":"process.start")"));
  EXPECT_TRUE(contains(entries[1], "log created"));
  EXPECT_TRUE(contains(entries[*index], R"("request_id":"192.0.2.1")"));
}

TEST(Auditd, AnOutcomeNamesItsIntent) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  const auto intent = client.append(record(Event::command, Phase::intent));
  ASSERT_TRUE(intent);
  auto outcome = record(Event::command, Phase::outcome);
  outcome.intent = *intent;
  outcome.outcome = ipc::Outcome::success;
  const auto index = client.append(outcome);
  ASSERT_TRUE(index);
  EXPECT_TRUE(contains(entries_of(host)[*index], "\"intent\":" + std::to_string(*intent)));
}

TEST(Auditd, AttackAnOutcomeOfAnIntentThatIsNotThereIsCutOffAndRecorded) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  auto outcome = record(Event::command, Phase::outcome);
  outcome.intent = 1'000'000;
  EXPECT_FALSE(client.append(outcome));
  ASSERT_TRUE(host.client().append(record(Event::login)));
  EXPECT_TRUE(contains(entries_of(host)[2], R"("event":"violation")"));
}

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

TEST(Auditd, AShortEpochNeverStopsTheAppends) {
  TestHost host;
  host.signer_arguments = {"--epoch-seconds", "0.001"};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.append(record(Event::exec)));
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
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

bool resumes(ipc::AuditClient& client) {
  for (int i = 0; i < 400; ++i) {
    if (client.append(record(Event::login))) return true;
    ::usleep(20'000);
  }
  return false;
}

TEST(Auditd, ASignerThatAnswersTooLateIsSlowAndNoProofOfTampering) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  ASSERT_TRUE(client.append(record(Event::login)));
  ASSERT_EQ(::kill(host.signer.pid, SIGSTOP), 0);
  EXPECT_FALSE(client.append(record(Event::login), 10'000));
  ASSERT_EQ(::kill(host.signer.pid, SIGCONT), 0);
  EXPECT_TRUE(resumes(client));
  EXPECT_EQ(host.stop_auditd(), 0);
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Auditd, AnOutcomeIsNotHeldAgainstItsSourceBeforeTheLogWasRead) {
  TestHost host;
  ASSERT_TRUE(host.start());
  const auto intent = host.client().append(record(Event::command, ipc::Phase::intent));
  ASSERT_TRUE(intent);
  host.kill_auditd();
  ASSERT_EQ(::kill(host.signer.pid, SIGSTOP), 0);
  ASSERT_TRUE(host.start_auditd());
  auto client = host.client();
  auto outcome = record(Event::command, ipc::Phase::outcome);
  outcome.intent = *intent;
  EXPECT_FALSE(client.append(outcome, 10'000));
  ASSERT_EQ(::kill(host.signer.pid, SIGCONT), 0);
  EXPECT_TRUE(resumes(client));  // over the same channel: it was not cut off
  EXPECT_TRUE(client.append(outcome));
  EXPECT_EQ(host.stop_auditd(), 0);
  EXPECT_EQ(count_events(entries_of(host), "violation"), 0U);
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
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

TEST(Auditd, AnOrderlyStopRecordsItselfAndLeavesAVerifiableDirectory) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, "ls")));
  EXPECT_EQ(host.stop_auditd(), 0);
  EXPECT_EQ(host.stop_signer(), 0);
  const auto entries = entries_of(host);
  EXPECT_TRUE(contains(entries.rbegin()[1], R"("event":"process.stop")"));
  EXPECT_TRUE(contains(entries.back(), R"("event":"epoch.seal")"));
  const Output verified = host.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_TRUE(contains(verified.out, "304 entries")) << verified.out;
}

TEST(Auditd, SigtermIsAnOrderlyStopToo) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ASSERT_EQ(::kill(host.auditd.pid, SIGTERM), 0);
  EXPECT_EQ(host.auditd.wait(), 0);
  ASSERT_EQ(::kill(host.signer.pid, SIGTERM), 0);
  EXPECT_EQ(host.signer.wait(), 0);
  EXPECT_EQ(host.verify().status, 0);
}

TEST(Auditd, SegmentsFollowEachOther) {
  TestHost host;
  host.auditd_arguments = {"--segment-bytes", "20000"};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, std::string(500, 'x'))));
  }
  EXPECT_GT(files_beneath(host.log_dir() + "/segment").size(), 3U);
  host.kill_auditd();
  ASSERT_TRUE(host.start_auditd());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
  const auto entries = entries_of(host);
  EXPECT_EQ(entries.size(), 107U);  // two starts, three seals, and a word about the missing stop
  EXPECT_EQ(count_events(entries, "exec"), 100U);
}

TEST(Auditd, RefusesWhileTheSignerIsGoneAndGoesOnWithANewOne) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  ASSERT_TRUE(client.append(record(Event::login)));
  for (int round = 0; round < 5; ++round) {
    host.kill_signer();
    EXPECT_FALSE(client.append(record(Event::admin)));
    EXPECT_FALSE(client.append(record(Event::admin)));
    host.rewire_signer();
    // The refusals end when auditd has taken the new channel.
    Result<std::uint64_t> index = fail(Errc::unavailable, "");
    for (int i = 0; i < 200 && !index; ++i) {
      index = client.append(record(Event::logout));
      if (!index) ::usleep(10'000);
    }
    ASSERT_TRUE(index);
  }
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Auditd, RefusesWhenTheDiskIsFullAndAcceptsAgainWithoutLoss) {
  TestHost host;
  ASSERT_TRUE(host.start());
  // A file size limit makes pwrite behave as a full disk does: a short count, then an error.
  const rlimit full{100'000, 100'000'000};
  ASSERT_EQ(::prlimit(host.auditd.pid, RLIMIT_FSIZE, &full, nullptr), 0);
  auto client = host.client();
  std::uint64_t accepted = 2;
  const std::string value(5000, 'v');
  while (accepted < 100 && client.append(record(Event::exec).add(FieldKey::argv, value)))
    ++accepted;
  EXPECT_LT(accepted, 25U);
  EXPECT_FALSE(client.append(record(Event::login)));  // a small one would have fitted
  const rlimit roomy{100'000'000, 100'000'000};
  ASSERT_EQ(::prlimit(host.auditd.pid, RLIMIT_FSIZE, &roomy, nullptr), 0);
  Result<std::uint64_t> index = fail(Errc::limit, "");
  for (int i = 0; i < 200 && !index; ++i) {
    index = client.append(record(Event::login));
    if (!index) ::usleep(10'000);
  }
  ASSERT_TRUE(index);
  EXPECT_EQ(*index, accepted + 1);
  host.stop();
  const std::string gap = entries_of(host)[accepted];
  EXPECT_TRUE(contains(gap, R"("event":"log.gap")")) << gap;
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(Auditd, EndsWithoutAnAnswerWhenTheDiskCannotSync) {
  TestHost host;
  host.auditd_environment = {{"LD_PRELOAD", OQTO_FAILING_SYNC}, {"OQTO_SYNCS", "6"}};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  std::uint64_t acknowledged = 0;
  while (acknowledged < 100 && client.append(record(Event::login))) ++acknowledged;
  EXPECT_LT(acknowledged, 10U);
  EXPECT_EQ(host.auditd.wait(), 1);
  host.auditd_environment.clear();
  ASSERT_TRUE(host.start_auditd());
  ASSERT_TRUE(host.client().append(record(Event::login)));
  EXPECT_GE(entries_of(host).size(), acknowledged + 1);
}

TEST(Auditd, IsSealedAgainstFilesOutsideItsLog) {
  TestHost host;
  ASSERT_TRUE(host.start());
  for (const pid_t pid : {host.auditd.pid, host.signer.pid}) {
    const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
    EXPECT_TRUE(contains(status, "Seccomp:\t2")) << status;
    EXPECT_TRUE(contains(status, "NoNewPrivs:\t1"));
    EXPECT_TRUE(contains(status, "CapEff:\t0000000000000000"));
  }
}

TEST(Auditd, TwoOfThemDoNotShareALog) {
  TestHost host;
  ASSERT_TRUE(host.start());
  Child first = std::move(host.auditd);
  EXPECT_FALSE(host.start_auditd());
  EXPECT_EQ(host.auditd.wait(), 1);
  first.guard = ipc::Channel();
  EXPECT_EQ(first.wait(), 0);
}

TEST(Auditd, UnknownArgumentsAreRefused) {
  for (const char* name : {"oqto-auditd", "oqto-audit-signer"}) {
    EXPECT_EQ(run(program(name) + " --help").status, 0);
    EXPECT_EQ(run(program(name) + " --what x").status, 2);
    EXPECT_EQ(run(program(name)).status, 2);
  }
}

}  // namespace
}  // namespace oqto::audit
