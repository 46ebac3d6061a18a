#include "sandbox/monitor/exec_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

struct Ends {
  ipc::Channel ours, auditd;
};
Ends ends() {
  auto pair = sys::seqpacket_pair();
  return {ipc::Channel(std::move(pair->first)), ipc::Channel(std::move(pair->second))};
}

ipc::AuditAppend record(std::string_view what) {
  ipc::AuditAppend record;
  record.event = ipc::Event::exec;
  return record.add(ipc::FieldKey::argv, what);
}

// The next record that auditd has received: its request and first value.
std::pair<std::uint64_t, std::string> next(ipc::Channel& auditd) {
  const auto received = auditd.receive();
  if (!received) return {0, ""};
  const auto append = received->as<ipc::AuditAppend>();
  return {append->request, append->list.at(0).value};
}

// What it sends again, when its time has come.
std::pair<std::uint64_t, std::string> next_after_ticks(ExecLog& log, ipc::Channel& auditd) {
  for (int i = 0; i < 10'000; ++i) {
    log.tick();
    if (const auto got = next(auditd); got.first != 0) return got;
    ::usleep(1000);
  }
  return {0, ""};
}

// However long the log is full and however often the loop turns: two records a second, not each again at once.
TEST(ExecLog, AttackAFullLogIsAskedAgainWithOneRecordAndAfterATime) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  for (int i = 0; i < 40; ++i) log.add(record(std::to_string(i)));
  std::uint64_t refused = 0;
  const auto refuse_all = [&] {
    for (auto got = next(pair.auditd); got.first != 0; got = next(pair.auditd)) {
      ++refused;
      ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{got.first, "disk full"}).has_value());
      log.on_ready();
    }
  };
  refuse_all();
  EXPECT_EQ(refused, 40U);
  const std::uint64_t since = sys::monotonic_ms();
  std::uint64_t turns = 0;
  for (; turns < 100'000 && sys::monotonic_ms() < since + 2 * kSendAgainMs; ++turns) {
    log.tick();
    refuse_all();
  }
  EXPECT_LE(refused, 40 + 1 + (sys::monotonic_ms() - since) / kSendAgainMs) << turns << " turns";
  const auto again = next_after_ticks(log, pair.auditd);
  EXPECT_EQ(again.second, "0") << "the oldest";
  ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{again.first, 1}).has_value());
  log.on_ready();
  std::size_t rest = 0;
  while (next(pair.auditd).first != 0) ++rest;
  EXPECT_EQ(rest, 39U) << "the others follow as soon as one is taken";
}

TEST(ExecLog, ARecordThatIsSentAgainSaysWhenItWasMade) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  log.add(record("one"));
  const auto fields_of_next = [&pair] {
    const auto received = pair.auditd.receive();
    return received ? received->as<ipc::AuditAppend>()->list : std::vector<ipc::AuditField>{};
  };
  EXPECT_EQ(fields_of_next().size(), 1U) << "in time, it is auditd that says when";
  ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{1, "disk full"}).has_value());
  log.on_ready();
  std::vector<ipc::AuditField> fields;
  for (int i = 0; i < 10'000 && fields.empty(); ++i, ::usleep(1000)) {
    log.tick();
    fields = fields_of_next();
  }
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[1].key, ipc::FieldKey::at);
}

TEST(ExecLog, KeepsWhatIsNotDurableAndSendsItToTheNextAuditd) {
  Ends first = ends();
  ExecLog log(std::move(first.ours));
  log.add(record("one"));
  log.add(record("two"));
  const auto one = next(first.auditd);
  EXPECT_EQ(one.second, "one");
  ASSERT_TRUE(first.auditd.send(ipc::AuditAppended{one.first, 0}).has_value());
  log.on_ready();
  first.auditd = ipc::Channel();  // gone before it acknowledged the second
  log.on_ready();
  EXPECT_FALSE(log.available());
  Ends second = ends();
  log.replace(std::move(second.ours));
  EXPECT_TRUE(log.available());
  EXPECT_EQ(next(second.auditd).second, "two");
  EXPECT_EQ(next(second.auditd).second, "");
}

TEST(ExecLog, IsUnavailableWhileAuditdRefuses) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  log.add(record("one"));
  const std::uint64_t request = next(pair.auditd).first;
  ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{request, "disk full"}).has_value());
  log.on_ready();
  EXPECT_FALSE(log.available());
  EXPECT_EQ(next_after_ticks(log, pair.auditd), (std::pair<std::uint64_t, std::string>{request, "one"}));
  ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{request, 7}).has_value());
  log.on_ready();
  EXPECT_TRUE(log.available());
  EXPECT_FALSE(log.waits());
}

TEST(ExecLog, HasRoomForABoundedNumberOfRecords) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  std::size_t added = 0;
  while (log.has_room(0)) {
    log.add(record(std::string(ipc::kMaxFieldBytes, 'x')));  // more than the socket holds
    ++added;
  }
  EXPECT_EQ(added, kMaxKeptRecords);
  EXPECT_TRUE(log.available());
  std::size_t arrived = 0;
  for (auto got = next(pair.auditd); got.first != 0; got = next(pair.auditd)) {
    ++arrived;
    ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{got.first, arrived}).has_value());
    log.on_ready();
  }
  EXPECT_EQ(arrived, kMaxKeptRecords);
  EXPECT_FALSE(log.waits());
}

// --- what is too long for a record ---------------------------------------------------------------

Submission with_blob(std::string_view content, std::vector<bool>& settled) {
  return {.record = record("long"),
          .blobs = {{ipc::FieldKey::argv_blob, std::string(content)}},
          .settle = [&settled](ipc::AuditAppend&, bool stored) { settled.push_back(stored); }};
}

// The next blob that auditd has received: its request and content.
std::pair<std::uint64_t, std::string> next_blob(ipc::Channel& auditd) {
  const auto received = auditd.receive();
  if (!received) return {0, ""};
  const auto blob = received->as<ipc::AuditBlob>();
  return blob ? std::pair{blob->request, *sys::read_all(received->fd, 1000)}
              : std::pair{std::uint64_t{0}, std::string("no blob")};
}

TEST(ExecLog, StoresABlobBeforeTheRecordThatNamesIt) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  std::vector<bool> settled;
  log.submit(with_blob("content", settled));
  log.add(record("behind"));  // does not wait for it
  const auto blob = next_blob(pair.auditd);
  EXPECT_EQ(blob.second, "content");
  EXPECT_EQ(next(pair.auditd).second, "behind");
  EXPECT_TRUE(settled.empty());
  ipc::AuditBlobStored stored{.request = blob.first};
  stored.sha256.fill(0xab);
  ASSERT_TRUE(pair.auditd.send(stored).has_value());
  log.on_ready();
  EXPECT_EQ(settled, std::vector<bool>{true});
  const auto received = pair.auditd.receive();
  const auto append = received->as<ipc::AuditAppend>();
  ASSERT_EQ(append->list.size(), 2U);
  EXPECT_EQ(append->list[1].key, ipc::FieldKey::argv_blob);
  EXPECT_EQ(append->list[1].value.substr(0, 4), "abab");
}

TEST(ExecLog, StoresABlobAgainWithTheNextAuditd) {
  Ends first = ends();
  ExecLog log(std::move(first.ours));
  std::vector<bool> settled;
  log.submit(with_blob("content", settled));
  const std::uint64_t request = next_blob(first.auditd).first;
  ASSERT_TRUE(first.auditd.send(ipc::AuditBlobStored{.request = request}).has_value());
  log.on_ready();
  EXPECT_EQ(settled, std::vector<bool>{true});
  Ends second = ends();
  log.replace(std::move(second.ours));
  EXPECT_EQ(next_blob(second.auditd).second, "content");
  ASSERT_EQ(settled.size(), 1U);  // it runs already
}

TEST(ExecLog, AttackABlobThatIsRefusedAgainAndAgainIsGivenUpAndTheRecordSaysSo) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  std::vector<bool> settled;
  log.submit(with_blob("content", settled));
  unsigned refused = 0;
  while (settled.empty()) {
    log.tick();
    const std::uint64_t request = next_blob(pair.auditd).first;
    if (request == 0) continue;
    ++refused;
    ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{request, "as many bytes as it may store"}).has_value());
    log.on_ready();
  }
  EXPECT_EQ(refused, kBlobTries);
  EXPECT_EQ(settled, std::vector<bool>{false});
  EXPECT_EQ(next(pair.auditd).second, "long");
  EXPECT_TRUE(log.available());
}

TEST(ExecLog, AnOutcomeWaitsForTheNumberOfWhatItIsTheOutcomeOf) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  const auto index = std::make_shared<std::uint64_t>(ipc::kNoIndex);
  log.submit({.record = record("exec"), .index = index});
  log.submit({.record = record("end"), .intent = index});
  const std::uint64_t request = next(pair.auditd).first;
  EXPECT_EQ(next(pair.auditd).first, 0U);
  ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{request, 77}).has_value());
  log.on_ready();
  const auto received = pair.auditd.receive();
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->as<ipc::AuditAppend>()->intent, 77U);
}

// The budget's reserve is theirs: what was recorded to begin is recorded to end.
TEST(ExecLog, AttackAUsedUpShareKeepsNoOutcomeBehindAnExecThatIsRefused) {
  Ends pair = ends();
  ExecLog log(std::move(pair.ours));
  const auto index = std::make_shared<std::uint64_t>(ipc::kNoIndex);
  log.submit({.record = record("before"), .index = index});
  ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{next(pair.auditd).first, 5}).has_value());
  log.on_ready();
  log.add(record("too much"));
  const std::uint64_t refused = next(pair.auditd).first;
  ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{refused, "used up", ipc::RefusedFor::budget}).has_value());
  log.on_ready();
  ipc::AuditAppend end = record("end");
  end.phase = ipc::Phase::outcome;
  for (int i = 0; i < 3; ++i) {
    log.submit({.record = end, .intent = index});
    const auto got = next(pair.auditd);
    EXPECT_EQ(got.second, "end");
    ASSERT_TRUE(pair.auditd.send(ipc::AuditAppended{got.first, 6}).has_value());
    log.on_ready();
    EXPECT_FALSE(log.available()) << "of the reserve nothing may be executed";
    EXPECT_EQ(next(pair.auditd).first, 0U) << "nor is the exec sent again with each of them";
  }
  log.submit({.record = end, .intent = index});
  const std::uint64_t last = next(pair.auditd).first;
  ASSERT_TRUE(pair.auditd.send(ipc::AuditRefused{last, "used up", ipc::RefusedFor::budget}).has_value());
  log.on_ready();
  log.submit({.record = end, .intent = index});
  EXPECT_EQ(next(pair.auditd).first, 0U);
}

}  // namespace
}  // namespace oqto::sandbox
