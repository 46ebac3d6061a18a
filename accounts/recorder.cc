#include "accounts/recorder.h"

#include "base/log.h"

namespace oqto::accounts {
namespace {

ipc::AuditAppend record(ipc::Event event, ipc::Phase phase, ipc::Outcome outcome,
                        AuditPairs pairs) {
  ipc::AuditAppend append;
  append.event = event;
  append.phase = phase;
  append.outcome = outcome;
  for (const AuditPair& pair : pairs) {
    if (!pair.value.empty()) append.add(pair.key, pair.value);
  }
  return append;
}

}  // namespace

Result<std::uint64_t> Recorder::intent(ipc::Event event, AuditPairs pairs) {
  return client_.append(record(event, ipc::Phase::intent, ipc::Outcome::unknown, pairs),
                        kAuditTimeoutMs);
}

void Recorder::outcome(ipc::Event event, std::uint64_t intent, const Status& done) {
  auto append = record(event, ipc::Phase::outcome,
                       done ? ipc::Outcome::success : ipc::Outcome::failure,
                       {{ipc::FieldKey::reason, done ? "" : done.error().what}});
  append.intent = intent;
  if (!client_.post(std::move(append), kAuditTimeoutMs)) {
    log::warn("an outcome could not be recorded", {{"event", ipc::event_name(event)},
                                                   {"intent", intent}});
  }
}

Status Recorder::happened(ipc::Event event, ipc::Outcome outcome, AuditPairs pairs) {
  (void)TRY(client_.append(record(event, ipc::Phase::event, outcome, pairs), kAuditTimeoutMs));
  return {};
}

}  // namespace oqto::accounts
