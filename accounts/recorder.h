// How accounts speaks to the audit log: an intent that is durable before the act, an outcome after
// it. Waits a bounded time; while it waits, everybody waits, because nobody could act anyway.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <map>
#include <vector>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "ipc/audit.h"

namespace oqto::accounts {

constexpr int kAuditTimeoutMs = 2000;

struct AuditPair {
  ipc::FieldKey key{};
  std::string value;  // empty: left out
};
using AuditPairs = std::initializer_list<AuditPair>;

// The value of `ended_logins`; empty: there are none.
std::string numbers_text(const std::vector<std::uint64_t>& numbers);

// Who asks through oqtoctl: the uid is the kernel's word, the name oqtoctl's own.
struct Operator {
  std::uint32_t uid = 0;
  std::string name;
};

class Recorder {
 public:
  explicit Recorder(ipc::Channel channel) : client_(std::move(channel)) {}

  // Errc::unavailable: not recorded, and the act must not happen.
  Result<std::uint64_t> intent(ipc::Event event, AuditPairs pairs);
  // What came of it, with whose it is as the intent said, and what is known only now. A lost outcome
  // undoes nothing: the intent without one shows in the log.
  void outcome(ipc::Event event, std::uint64_t intent, const Status& done, AuditPairs more = {});
  // Something that has happened; durable when this returns success.
  Status happened(ipc::Event event, ipc::Outcome outcome, AuditPairs pairs);

  void replace(ipc::Channel channel) { client_.replace(std::move(channel)); }

  // While it lives, what is recorded was asked for by this operator.
  class ForOperator {
   public:
    ForOperator(Recorder& recorder, const Operator& who) : ForOperator(recorder, &who) {}
    ForOperator(Recorder& recorder, const Operator* who)  // nullptr: by nobody of them
        : recorder_(recorder), before_(std::exchange(recorder.operator_, who)) {}
    ~ForOperator() { recorder_.operator_ = before_; }
    ForOperator(const ForOperator&) = delete;
    ForOperator& operator=(const ForOperator&) = delete;

   private:
    Recorder& recorder_;
    const Operator* const before_;
  };

 private:
  using Fields = std::vector<ipc::AuditField>;
  ipc::AuditAppend record(ipc::Event event, ipc::Phase phase, ipc::Outcome outcome, AuditPairs pairs) const;

  std::map<std::uint64_t, Fields> open_;  // whose each intent is that has no outcome yet
  const Operator* operator_ = nullptr;
  ipc::AuditClient client_;
};

}  // namespace oqto::accounts
