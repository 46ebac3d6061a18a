#include "accounts/recorder.h"

#include "base/log.h"

namespace oqto::accounts {
namespace {

bool says_whose(ipc::FieldKey key) {
  using enum ipc::FieldKey;
  return key == account || key == username || key == invite || key == login || key == process ||
         key == operator_name || key == operator_uid;
}

}  // namespace

std::string numbers_text(const std::vector<std::uint64_t>& numbers) {
  std::string text;
  for (const std::uint64_t number : numbers) text += (text.empty() ? "" : " ") + std::to_string(number);
  return text;
}

ipc::AuditAppend Recorder::record(ipc::Event event, ipc::Phase phase, ipc::Outcome outcome,
                                  AuditPairs pairs) const {
  ipc::AuditAppend append;
  append.event = event;
  append.phase = phase;
  append.outcome = outcome;
  for (const AuditPair& pair : pairs) {
    if (!pair.value.empty()) append.add(pair.key, pair.value);
  }
  if (operator_ == nullptr || phase == ipc::Phase::outcome) return append;
  append.add(ipc::FieldKey::operator_uid, std::to_string(operator_->uid));
  if (!operator_->name.empty()) append.add(ipc::FieldKey::operator_name, operator_->name + " (claimed)");
  return append;
}

Result<std::uint64_t> Recorder::intent(ipc::Event event, AuditPairs pairs) {
  auto append = record(event, ipc::Phase::intent, ipc::Outcome::unknown, pairs);
  Fields whose = append.list;
  std::erase_if(whose, [](const ipc::AuditField& field) { return !says_whose(field.key); });
  const std::uint64_t index = TRY(client_.append(std::move(append), kAuditTimeoutMs));
  open_.insert_or_assign(index, std::move(whose));
  return index;
}

void Recorder::outcome(ipc::Event event, std::uint64_t intent, const Status& done, AuditPairs more) {
  auto append = record(event, ipc::Phase::outcome,
                       done ? ipc::Outcome::success : ipc::Outcome::failure, more);
  if (!done) append.add(ipc::FieldKey::reason, done.error().what);
  if (const auto whose = open_.extract(intent)) {
    append.list.insert(append.list.begin(), whose.mapped().begin(), whose.mapped().end());
  }
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
