// How accounts speaks to the audit log: an intent that is durable before the act, an outcome after
// it. Waits a bounded time; while it waits, everybody waits, because nobody could act anyway.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ipc/audit.h"

namespace oqto::accounts {

constexpr int kAuditTimeoutMs = 2000;

struct AuditPair {
  ipc::FieldKey key{};
  std::string value;  // empty: left out
};
using AuditPairs = std::initializer_list<AuditPair>;

class Recorder {
 public:
  explicit Recorder(ipc::Channel channel) : client_(std::move(channel)) {}

  // Errc::unavailable: not recorded, and the act must not happen.
  Result<std::uint64_t> intent(ipc::Event event, AuditPairs pairs);
  // What came of it. A lost outcome undoes nothing: the intent without one shows in the log.
  void outcome(ipc::Event event, std::uint64_t intent, const Status& done);
  // Something that has happened; durable when this returns success.
  Status happened(ipc::Event event, ipc::Outcome outcome, AuditPairs pairs);

  void replace(ipc::Channel channel) { client_.replace(std::move(channel)); }

 private:
  ipc::AuditClient client_;
};

}  // namespace oqto::accounts
