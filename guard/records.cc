// The guard's own audit records: asynchronous, since it never waits for a peer.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {

ipc::AuditAppend happened(ipc::Event event, ipc::Outcome outcome) {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = ipc::Phase::event;
  record.outcome = outcome;
  return record;
}

void Guard::record_then(ipc::AuditAppend record, const Uuid& session, std::uint64_t connection,
                        Continuation then) {
  record.request = next_record_++;
  // No act begins whose outcome would have to wait behind too much.
  const bool is_full = backlog_.size() >= kMaxAuditBacklog || pending_.size() >= kMaxPendingRecords;
  if (is_full || !audit_ || !audit_.send(record)) {
    (this->*then)(session, connection, false, 0);
    return;
  }
  pending_.push_back({record.request, sys::monotonic_ms() + kRecordTimeoutMs, session, connection, then});
}

void Guard::record(ipc::AuditAppend record) {
  record.request = next_record_++;
  // An outcome always finds room: there are no more of them than intents were let in.
  if (record.phase != ipc::Phase::outcome && backlog_.size() >= kMaxAuditBacklog) {
    ++lost_records_;  // said in the log as soon as it can be written
    return;
  }
  backlog_.push_back({std::move(record), sys::now_ms()});
  flush_backlog();
}

// Auditd may still record them. They stay until then, for nobody.
void Guard::give_up_late_records(std::uint64_t now) {
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (pending_[i].deadline > now) continue;
    const PendingRecord late = pending_[i];
    pending_[i] = {late.request, ~std::uint64_t{0}, Uuid{}, 0, late.then};
    (this->*late.then)(late.session, late.connection, false, 0);
  }
}

// Refused, as while the signer is away, it is sent again until it stands in the log.
void Guard::settle_record(std::uint64_t request, bool durable) {
  const auto found = std::ranges::find(backlog_, request, [](const Unsettled& kept) { return kept.record.request; });
  if (found == backlog_.end()) return;
  if (durable) {
    backlog_.erase(found);
    return;
  }
  found->is_sent = false;
  flush_at_ = sys::monotonic_ms() + kRecordAgainMs;
}

void Guard::flush_backlog() {
  if (!audit_ || sys::monotonic_ms() < flush_at_) return;
  if (lost_records_ > 0 && backlog_.size() < kMaxAuditBacklog) {
    ipc::AuditAppend gap = happened(ipc::Event::violation, ipc::Outcome::failure);
    gap.add(ipc::FieldKey::reason, "records of process starts and stops were lost while auditd was "
                                   "away: " + std::to_string(lost_records_));
    gap.request = next_record_++;
    backlog_.push_back({std::move(gap), sys::now_ms()});
    lost_records_ = 0;
  }
  constexpr std::uint64_t kSoonMs = 100;
  for (Unsettled& kept : backlog_) {
    if (kept.is_sent) continue;
    auto& fields = kept.record.list;
    if (sys::now_ms() > kept.at_ms + kSoonMs && std::ranges::count(fields, ipc::FieldKey::at, &ipc::AuditField::key) == 0) {
      kept.record.add(ipc::FieldKey::at, sys::utc_text(kept.at_ms));
    }
    if (!audit_.send(kept.record)) return;
    kept.is_sent = true;
  }
}

void Guard::audit_message() {
  for (;;) {
    const auto received = audit_.receive();
    if (!received) {
      if (received.error().code == Errc::limit) break;
      loop_.unwatch(audit_.fd(), audit_watch_);  // auditd is gone; rewire_audit() follows
      audit_ = ipc::Channel();
      const auto pending = std::move(pending_);
      pending_.clear();
      for (const PendingRecord& entry : pending) {
        (this->*entry.then)(entry.session, entry.connection, false, 0);
      }
      return;
    }
    if (const auto appended = received->as<ipc::AuditAppended>()) {
      appended->each([this](std::uint64_t request, std::uint64_t index) { answer_record(request, true, index); });
    } else if (const auto stored = received->as<ipc::AuditBlobStored>()) {
      stored_blob_ = to_hex(stored->sha256);
      answer_record(stored->request, true, 0);
    } else if (const auto refused = received->as<ipc::AuditRefused>()) {
      settle_probe(*core(ipc::Process::auditd), refused->request, refused->why.view());
      answer_record(refused->request, false, 0);
    }  // else: auditd is not obeyed, only listened to
  }
  flush_backlog();
}

void Guard::answer_record(std::uint64_t request, bool durable, std::uint64_t index) {
  settle_record(request, durable);
  settle_probe(*core(ipc::Process::auditd), request, {});
  const auto entry = std::ranges::find(pending_, request, &PendingRecord::request);
  if (entry == pending_.end()) return;
  const PendingRecord found = *entry;
  pending_.erase(entry);
  (this->*found.then)(found.session, found.connection, durable, index);
}

}  // namespace oqto::guard
