// The guard's own audit records: asynchronous, since it never waits for a peer.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "guard/guard.h"

namespace oqto::guard {

void Guard::record_then(ipc::AuditAppend record, const Uuid& session, std::uint64_t connection,
                        Continuation then) {
  record.request = next_record_++;
  if (!audit_ || !audit_.send(record)) {
    (this->*then)(session, connection, false, 0);
    return;
  }
  pending_.push_back({record.request, sys::monotonic_ms() + kRecordTimeoutMs, session, connection, then});
}

void Guard::record(ipc::AuditAppend record) {
  record.request = next_record_++;
  if (audit_ && backlog_.empty() && audit_.send(record)) return;
  if (backlog_.size() >= kMaxAuditBacklog) {
    ++lost_records_;  // said in the log as soon as it can be written
    return;
  }
  backlog_.push_back(std::move(record));
}

void Guard::flush_backlog() {
  if (lost_records_ > 0) {
    ipc::AuditAppend gap;
    gap.event = ipc::Event::violation;
    gap.phase = ipc::Phase::event;
    gap.outcome = ipc::Outcome::failure;
    gap.add(ipc::FieldKey::reason, "records of process starts and stops were lost while auditd was "
                                   "away: " + std::to_string(lost_records_));
    gap.request = next_record_++;
    if (audit_.send(gap)) lost_records_ = 0;
  }
  while (!backlog_.empty() && audit_ && audit_.send(backlog_.front())) backlog_.pop_front();
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
      answer_record(refused->request, false, 0);
    }  // else: auditd is not obeyed, only listened to
  }
  flush_backlog();
}

void Guard::answer_record(std::uint64_t request, bool durable, std::uint64_t index) {
  const auto entry = std::ranges::find(pending_, request, &PendingRecord::request);
  if (entry == pending_.end()) return;
  const PendingRecord found = *entry;
  pending_.erase(entry);
  (this->*found.then)(found.session, found.connection, durable, index);
}

}  // namespace oqto::guard
