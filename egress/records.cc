#include "egress/records.h"

namespace oqto::egress {

void Refusals::record(const Refusal& refusal, std::uint64_t count) {
  ipc::AuditAppend record;
  record.event = refusal.event;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  if (!refusal.host.empty()) record.add(ipc::FieldKey::host, refusal.host);
  if (refusal.port != 0) record.add(ipc::FieldKey::port, std::to_string(refusal.port));
  record.add(ipc::FieldKey::reason, refusal.reason);
  if (count != 1) record.add(ipc::FieldKey::count, std::to_string(count));
  records_.note(std::move(record));
}

void Refusals::add(Refusal refusal, Time now) {
  auto found = recent_.find(refusal);
  if (found == recent_.end() && recent_.size() >= kMaxKinds) {
    refusal = {refusal.event, {}, 0, "more refusals of other kinds"};
    found = recent_.find(refusal);
  }
  if (found != recent_.end()) {
    ++found->second.count;
    return;
  }
  record(refusal, 1);
  recent_.emplace(std::move(refusal), Again{now + kJoinFor, 0});
}

void Refusals::flush(Time now) {
  std::erase_if(recent_, [&](const auto& entry) {
    if (entry.second.until > now) return false;
    if (entry.second.count != 0) record(entry.first, entry.second.count);
    return true;
  });
}

}  // namespace oqto::egress
