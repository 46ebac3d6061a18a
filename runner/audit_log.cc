#include "runner/audit_log.h"

#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/audit_refusal.h"

namespace oqto::runner {

static constexpr Error kNoAudit = ipc::kLogRefuses;

AuditLog::AuditLog(Reactor& reactor)
    : reactor_(reactor),
      peer_(reactor, [this](ipc::Received& received) { on_message(received); },
            [this](const Error&) { on_gone(); }) {}

void AuditLog::attach(ipc::Channel channel) {
  fail_all();  // the old auditd's answers never come
  peer_.attach(std::move(channel));
  owed_.begin_anew();
  send_owed();
}

void AuditLog::append(ipc::AuditAppend record, Done done) {
  record.request = next_request_++;
  if (waiting_.size() >= kMaxWaiting || !owed_.has_room_for_an_act() || !peer_.send(record)) {
    reactor_.post([done = std::move(done)] { done(std::unexpected(kNoAudit)); });
    return;
  }
  Waiting& entry = waiting_[record.request];
  entry.done = std::move(done);
  entry.timeout = reactor_.after(kTimeoutMs, [this, request = record.request, late = ipc::given_up_outcome(record)] {
    give_up(request, late);
  });
}

void AuditLog::give_up(std::uint64_t request, ipc::AuditAppend outcome) {
  const auto entry = waiting_.find(request);
  if (entry == waiting_.end()) return;
  // The record may still be written: the entry stays, so that its outcome is told then.
  entry->second.given_up = true;
  entry->second.given_up_outcome = std::move(outcome);
  const Done done = std::move(entry->second.done);
  log::warn("auditd did not answer in time");
  done(std::unexpected(kNoAudit));
}

void AuditLog::store(std::string_view content, Stored done) {
  const std::uint64_t request = next_request_++;
  const auto file = sys::sealed_memfd("audit", content);
  if (storing_.size() >= kMaxWaiting || !file || !peer_.send(ipc::AuditBlob{request, 0}, *file)) {
    reactor_.post([done = std::move(done)] { done(std::unexpected(kNoAudit)); });
    return;
  }
  owed_.blob_sent();
  Storing& entry = storing_[request];
  entry.done = std::move(done);
  entry.timeout = reactor_.after(
      kStoreTimeoutMs, [this, request] { end_store(request, std::unexpected(kNoAudit)); });
}

void AuditLog::end_store(std::uint64_t request, Result<std::string> name) {
  const auto entry = storing_.find(request);
  if (entry == storing_.end()) return;
  const Storing storing = std::move(entry->second);
  storing_.erase(entry);
  storing.done(std::move(name));
}

Status AuditLog::post(ipc::AuditAppend record) {
  record.request = next_request_++;
  // What nobody waits for is not even tried: it would be done without its record.
  if (sys::monotonic_ms() < used_up_until_) return std::unexpected(ipc::kBudgetUsedUp);
  if (waiting_.size() >= kMaxWaiting) return std::unexpected(kNoAudit);
  if (!peer_.send(record)) return std::unexpected(kNoAudit);
  waiting_[record.request] = {};
  return {};
}

void AuditLog::outcome(std::uint64_t intent, bool success, std::string_view reason) {
  ipc::AuditAppend record;
  record.event = ipc::Event::command;
  record.phase = ipc::Phase::outcome;
  record.outcome = success ? ipc::Outcome::success : ipc::Outcome::failure;
  record.intent = intent;
  if (!reason.empty()) record.add(ipc::FieldKey::reason, reason);
  keep(std::move(record));
}

void AuditLog::keep(ipc::AuditAppend record) {
  owed_.keep(std::move(record));
  send_owed();
}

void AuditLog::send_owed() {
  if (!peer_) return;  // attach() goes on
  const std::uint64_t ms = owed_.send(sys::monotonic_ms(), [this](const ipc::AuditAppend& record) {
    return static_cast<bool>(peer_.send(record));
  });
  if (ms != 0) retry_ = reactor_.after(ms, [this] { send_owed(); });
}

void AuditLog::on_message(ipc::Received& received) {
  if (const auto stored = received.as<ipc::AuditBlobStored>()) {
    owed_.blob_answered();
    return end_store(stored->request, to_hex(stored->sha256));
  }
  if (received.tag == ipc::Tag::audit_appended) {
    const auto appended = received.as<ipc::AuditAppended>();
    if (appended) appended->each([this](std::uint64_t request, std::uint64_t index) { settle(request, index); });
    send_owed();  // there may be room now
  } else if (const auto refused = received.as<ipc::AuditRefused>()) {
    const Error& why = ipc::refusal_error(*refused);
    if (refused->reason == ipc::RefusedFor::budget) used_up_until_ = sys::monotonic_ms() + kUsedUpMs;
    if (owed_.refused(refused->request, refused->reason, sys::monotonic_ms())) return send_owed();
    if (waiting_.contains(refused->request)) return settle(refused->request, std::unexpected(why));
    owed_.blob_answered();
    log::warn("auditd does not store a text", {{"why", refused->why.view()}});
    end_store(refused->request, std::unexpected(why));
  }
}

void AuditLog::settle(std::uint64_t request, Result<std::uint64_t> index) {
  if (owed_.settle(request)) return;
  const auto entry = waiting_.find(request);
  if (entry == waiting_.end()) return;
  Waiting waiting = std::move(entry->second);
  waiting_.erase(entry);
  if (waiting.given_up && index) {
    waiting.given_up_outcome.intent = *index;
    keep(std::move(waiting.given_up_outcome));
  }
  if (waiting.done && !waiting.given_up) waiting.done(index);
}

void AuditLog::fail_all() {
  const auto storing = std::exchange(storing_, {});
  for (const auto& [request, entry] : storing) entry.done(std::unexpected(kNoAudit));
  const auto waiting = std::exchange(waiting_, {});
  for (const auto& [request, entry] : waiting) {
    if (entry.done && !entry.given_up) entry.done(std::unexpected(kNoAudit));
  }
}

void AuditLog::on_gone() {
  log::warn("auditd is gone: commands are refused until the guard has started it again");
  fail_all();
}

}  // namespace oqto::runner
