#include "egress/records.h"

#include "base/sys.h"

namespace oqto::egress {

void Refusals::record(const Refusal& refusal, const Joined& joined) {
  ipc::AuditAppend record;
  record.event = refusal.event;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  if (!refusal.host.empty()) record.add(ipc::FieldKey::host, refusal.host);
  if (refusal.port != 0) record.add(ipc::FieldKey::port, std::to_string(refusal.port));
  record.add(ipc::FieldKey::reason, refusal.reason);
  record.add(ipc::FieldKey::count, std::to_string(joined.count));
  record.add(ipc::FieldKey::at, sys::utc_text(joined.at_ms));
  records_.note(std::move(record));
}

void Refusals::add(Refusal refusal, Time now) {
  auto found = recent_.find(refusal);
  if (found == recent_.end() && recent_.size() >= kMaxKinds) {
    refusal = {refusal.event, {}, 0, "more refusals of other kinds"};
    found = recent_.find(refusal);
  }
  if (found == recent_.end()) found = recent_.emplace(std::move(refusal), Joined{now + kLookupFor}).first;
  if (found->second.count++ == 0) found->second.at_ms = sys::now_ms();
}

void Refusals::flush(Time now) {
  for (auto entry = recent_.begin(); entry != recent_.end();) {
    Joined& joined = entry->second;
    if (joined.until > now) {
      ++entry;
      continue;
    }
    if (joined.count != 0) record(entry->first, joined);
    if (joined.is_first && now != Time::max()) {
      joined = {now + kJoinFor, false};
      ++entry;
    } else {
      entry = recent_.erase(entry);
    }
  }
}

}  // namespace oqto::egress
