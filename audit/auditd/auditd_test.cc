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

TEST(Auditd, AShortEpochNeverStopsTheAppends) {
  TestHost host;
  host.signer_arguments = {"--epoch-seconds", "0.001"};
  ASSERT_TRUE(host.start());
  auto client = host.client();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(client.append(record(Event::exec)));
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
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
