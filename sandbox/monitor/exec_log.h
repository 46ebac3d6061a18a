// The monitor's side of the audit log. Records are sent without waiting, kept until auditd
// says that they are durable, and sent again when auditd was restarted. If they do not become
// durable the log counts as unavailable, and nothing may be executed.
#pragma once
#include <cstdint>
#include <deque>

#include "ipc/audit.h"
#include "sandbox/monitor/recorder.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxKeptRecords = 64;
constexpr std::uint64_t kStalledMs = 5000;  // the oldest record has waited this long: unavailable
constexpr std::uint64_t kSendAgainMs = 500;      // one record, until auditd takes it
constexpr std::uint64_t kNextDayMs = 30'000;     // the same, where the account's budget is used up

class ExecLog final : public Recorder {
 public:
  explicit ExecLog(ipc::Channel channel) : channel_(std::move(channel)) {}

  [[nodiscard]] bool available() const override;
  // Room for `expected` further records: if not, wait for auditd before accepting more.
  [[nodiscard]] bool has_room(std::size_t expected) const override {
    return kept_.size() + expected < kMaxKeptRecords;
  }
  void add(ipc::AuditAppend record) override;

  void on_ready();  // auditd has answered, or is gone
  void tick();      // sends again what was refused or did not fit
  void replace(ipc::Channel channel);
  [[nodiscard]] const Fd& fd() const { return channel_.fd(); }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] bool waits() const { return !kept_.empty(); }

 private:
  struct Kept {
    ipc::AuditAppend record;
    std::uint64_t since;  // monotonic
    std::uint64_t at_ms;  // wall clock
    bool sent = false;
  };
  Status take_answer(const ipc::Received& received);
  void settle(std::uint64_t request, bool durable);
  bool send(Kept& kept);
  void flush();

  ipc::Channel channel_;
  std::deque<Kept> kept_;
  std::uint64_t next_request_ = 1;
  bool connected_ = true;
  bool refusing_ = false;  // auditd answered a record with a refusal, and has taken none since
  std::uint64_t again_at_ = 0;  // monotonic: then it is asked again, with the oldest record alone
};

}  // namespace oqto::sandbox
