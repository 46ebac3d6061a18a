#include "gateway/audit_link.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace oqto::gateway
