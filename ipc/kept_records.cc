#include "ipc/kept_records.h"

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::ipc {
namespace {

bool is_outcome(const AuditAppend& record) {
  return record.phase == Phase::outcome;
}

// Their hashes stay.
void drop_blobs(AuditAppend& record) {
  const auto dropped = std::erase_if(record.list, [](const AuditField& field) {
    return field_name(field.key).ends_with("_blob");
  });
  if (dropped != 0) record.add(FieldKey::reason, "a text was not kept: the audit log lost it");
}

}  // namespace

void KeptRecords::keep(AuditAppend record) {
  if (!make_room(is_outcome(record))) {
    ++lost_;
    return;
  }
  add(std::move(record), 1);
}

// An outcome finds room before an event does: somebody's flood of refused names must not cost
// another's model call its outcome.
bool KeptRecords::make_room(bool for_outcome) {
  if (kept_.size() < (for_outcome ? max_ : max_ - max_ / 4)) return true;
  log::error("too many records wait for the audit log: one is given up", {{"kept", kept_.size()}});
  if (!for_outcome) return false;
  auto oldest =
      std::ranges::find_if(kept_, [](const auto& one) { return !is_outcome(one.second.record); });
  if (oldest == kept_.end()) oldest = kept_.begin();
  lost_ += oldest->second.stands_for;
  for (Gate* gate : {&outcomes_, &events_}) {  // its answer opens no gate any more
    if (gate->probe == oldest->first) gate->probe = 0;
  }
  kept_.erase(oldest);
  return true;
}

void KeptRecords::add(AuditAppend record, std::uint64_t stands_for) {
  const std::uint64_t request = record.request = requests_++;
  kept_.emplace(request, Kept{std::move(record), sys::now_ms(), blobs_answered_, stands_for});
}

void KeptRecords::make_ready(Kept& kept) const {
  constexpr std::uint64_t kLateMs = 100;
  AuditAppend& record = kept.record;
  if (blobs_sent_ - kept.blobs >= kNameableBlobs) drop_blobs(record);
  const bool is_late = sys::now_ms() > kept.at_ms + kLateMs;
  if (is_late &&
      std::ranges::find(record.list, FieldKey::at, &AuditField::key) == record.list.end()) {
    record.add(FieldKey::at, sys::utc_text(kept.at_ms));
  }
}

void KeptRecords::say_what_was_lost() {
  if (lost_ == 0 || kept_.size() >= max_ - max_ / 4) return;
  AuditAppend record;
  record.event = Event::violation;
  record.phase = Phase::event;
  record.outcome = Outcome::failure;
  record
      .add(FieldKey::reason,
           "records of what had happened were lost, outcomes among them: the audit log took none "
           "for too long")
      .add(FieldKey::count, std::to_string(lost_));
  add(std::move(record), std::exchange(lost_, 0));
}

bool KeptRecords::settle(std::uint64_t request) {
  const auto found = kept_.find(request);
  if (found == kept_.end()) return false;
  outcomes_ = {};
  const bool may_be_of_reserve = is_outcome(found->second.record) && events_.is_probing;
  if (!may_be_of_reserve) events_ = {};
  kept_.erase(found);
  return true;
}

bool KeptRecords::refused(std::uint64_t request, RefusedFor why, std::uint64_t now_ms) {
  const auto found = kept_.find(request);
  if (found == kept_.end()) return false;
  found->second.is_sent = false;
  const bool for_budget = why == RefusedFor::budget;
  const auto shut = [&](Gate& gate) {
    gate.is_probing = gate.is_probing || for_budget;
    gate.not_before = std::max(gate.not_before, now_ms + (for_budget ? kBudgetAgainMs : kAgainMs));
    if (gate.probe == request) gate.probe = 0;
  };
  shut(events_);
  if (!for_budget || is_outcome(found->second.record)) shut(outcomes_);
  return true;
}

void KeptRecords::begin_anew() {
  blobs_answered_ = blobs_sent_;
  outcomes_ = events_ = {};
  for (auto& [request, kept] : kept_) {
    kept.is_sent = false;
    drop_blobs(kept.record);
  }
}

AuditAppend given_up_outcome(const AuditAppend& intent) {
  AuditAppend record;
  record.event = intent.event;
  record.phase = Phase::outcome;
  record.outcome = Outcome::failure;
  for (const AuditField& field : intent.list) {
    if (field.key == FieldKey::session || field.key == FieldKey::account)
      record.add(field.key, field.value);
  }
  record.add(FieldKey::reason, "recorded too late; nothing was done");
  return record;
}

}  // namespace oqto::ipc
