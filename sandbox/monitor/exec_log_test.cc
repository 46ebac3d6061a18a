#include "sandbox/monitor/exec_log.h"

#include <gtest/gtest.h>

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
  log.tick();
  EXPECT_EQ(next(pair.auditd), (std::pair<std::uint64_t, std::string>{request, "one"}));
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

}  // namespace
}  // namespace oqto::sandbox
