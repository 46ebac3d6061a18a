// The real oqto-auditd and oqto-audit-signer, with this test as their guard.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;
using ipc::FieldKey;
using ipc::Phase;

TEST(Auditd, ARecordIsInTheLogWhenItIsAcknowledged) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  const auto index = client.append(record(Event::login).add(FieldKey::remote, "192.0.2.1"));
  ASSERT_TRUE(index);
  host.kill_auditd();
  host.kill_signer();
  const auto entries = entries_of(host);
  ASSERT_EQ(entries.size(), *index + 1);
  EXPECT_TRUE(contains(entries[0], R"("event":"process.start")"));
  EXPECT_TRUE(contains(entries[0], "log created"));
  EXPECT_TRUE(contains(entries[*index], R"("remote":"192.0.2.1")"));
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
  EXPECT_TRUE(contains(entries_of(host)[1], R"("event":"violation")"));
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

TEST(Auditd, ManyClientsAreAllAnsweredWithDistinctIndices) {
  TestHost host;
  ASSERT_TRUE(host.start());
  constexpr int kClients = 100;
  constexpr int kRecords = 20;
  std::vector<ipc::Channel> channels;
  for (int i = 0; i < kClients; ++i) channels.push_back(host.source());
  std::vector<bool> seen(1 + kClients * kRecords);
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

TEST(Auditd, AnOrderlyStopRecordsItselfAndLeavesAVerifiableDirectory) {
  TestHost host;
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(client.append(record(Event::exec).add(FieldKey::argv, "ls")));
  EXPECT_EQ(host.stop_auditd(), 0);
  EXPECT_EQ(host.stop_signer(), 0);
  EXPECT_TRUE(contains(entries_of(host).back(), R"("event":"process.stop")"));
  const Output verified = host.verify();
  EXPECT_EQ(verified.status, 0) << verified.out;
  EXPECT_TRUE(contains(verified.out, "302 entries")) << verified.out;
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
  EXPECT_EQ(entries_of(host).size(), 104U);
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
  std::uint64_t accepted = 1;
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
  EXPECT_EQ(*index, accepted);
  host.stop();
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
