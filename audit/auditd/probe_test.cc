// The question whether a record could be written now: the real auditd and signer, this test as
// their guard.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "audit/tests/test_host.h"

namespace oqto::audit {
namespace {

using ipc::Event;

constexpr int kAnswerMs = 20'000;

struct Answer {
  bool could = false;
  std::uint64_t index = 0;
  std::string why;
};
Answer ask(ipc::Channel& channel) {
  static std::uint64_t request = 0;
  EXPECT_TRUE(channel.send(ipc::AuditProbe{++request}));
  const auto received = channel.wait(kAnswerMs);
  if (!received) return {false, 0, "no answer"};
  if (const auto appended = received->as<ipc::AuditAppended>()) {
    EXPECT_EQ(appended->request, request);
    EXPECT_EQ(appended->before, 0);
    return {true, appended->index, ""};
  }
  const auto refused = received->as<ipc::AuditRefused>();
  EXPECT_TRUE(refused && refused->request == request);
  return {false, 0, refused ? refused->why.str() : "another message"};
}

bool could_again(ipc::Channel& guard) {
  for (int i = 0; i < 500; ++i) {
    if (ask(guard).could) return true;
    ::usleep(20'000);
  }
  return false;
}

ipc::Channel guard_of(TestHost& host) {
  return host.source(ipc::Process::guard, 0, "", 1, 0);
}

TEST(AuditProbe, IsAnsweredWithTheNextIndexAndRecordsNothing) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ipc::Channel guard = guard_of(host);
  const auto index = host.client().append(record(Event::login));
  ASSERT_TRUE(index);
  for (int i = 0; i < 20; ++i) {
    const Answer answer = ask(guard);
    ASSERT_TRUE(answer.could) << answer.why;
    EXPECT_EQ(answer.index, *index + 1);
  }
  EXPECT_EQ(*host.client().append(record(Event::logout)), *index + 1);
  EXPECT_TRUE(ask(guard).could);
  host.kill_auditd();  // what the probes wrote lies behind the end, as if the power had failed
  EXPECT_EQ(entries_of(host).size(), *index + 2);
  ASSERT_TRUE(host.start_auditd());
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(AuditProbe, AttackAnybodyElseWhoProbesIsCutOffAndRecorded) {
  TestHost host;
  ASSERT_TRUE(host.start());
  for (const auto process : {ipc::Process::runner, ipc::Process::accounts, ipc::Process::session}) {
    ipc::Channel other = host.source(process);
    EXPECT_FALSE(ask(other).could);
    EXPECT_FALSE(other.wait(kAnswerMs)) << "it is closed";
  }
  ASSERT_TRUE(host.client().append(record(Event::login)));
  EXPECT_EQ(count_events(entries_of(host), "violation"), 3U);
}

TEST(AuditProbe, IsRefusedWhileTheSignerIsAwayOrSilent) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ipc::Channel guard = guard_of(host);
  ASSERT_TRUE(ask(guard).could);
  host.kill_signer();
  const Answer answer = ask(guard);
  EXPECT_FALSE(answer.could);
  EXPECT_TRUE(contains(answer.why, "signer")) << answer.why;
  host.rewire_signer();
  EXPECT_TRUE(could_again(guard));
  ASSERT_EQ(::kill(host.signer.pid, SIGSTOP), 0);
  EXPECT_TRUE(contains(ask(guard).why, "signer does not answer"));
  ASSERT_EQ(::kill(host.signer.pid, SIGCONT), 0);
  EXPECT_TRUE(could_again(guard));
  host.stop();
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

TEST(AuditProbe, IsRefusedFromTheMomentOnThatTheDiskIsFull) {
  TestHost host;
  ASSERT_TRUE(host.start());
  ipc::Channel guard = guard_of(host);
  // A file size limit makes writes behave as a full disk does. Nothing was refused before.
  const rlimit full{100, 100'000'000};
  ASSERT_EQ(::prlimit(host.auditd.pid, RLIMIT_FSIZE, &full, nullptr), 0);
  const Answer answer = ask(guard);
  EXPECT_FALSE(answer.could);
  const rlimit roomy{100'000'000, 100'000'000};
  ASSERT_EQ(::prlimit(host.auditd.pid, RLIMIT_FSIZE, &roomy, nullptr), 0);
  EXPECT_TRUE(could_again(guard));
  ASSERT_TRUE(host.client().append(record(Event::login)));
  host.stop();
  ASSERT_TRUE(host.start());  // writes the tiles that there was no room for
  host.stop();
  EXPECT_EQ(count_events(entries_of(host), "log.full"), 0U) << "no record was refused";
  EXPECT_EQ(host.verify().status, 0) << host.verify().out;
}

}  // namespace
}  // namespace oqto::audit
