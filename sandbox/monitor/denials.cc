#include "sandbox/monitor/denials.h"

#include <algorithm>

#include "base/sys.h"

namespace oqto::sandbox {

Denial* Denials::add(Denial denial, std::uint64_t now) {
  std::string key;
  for (const std::string_view part :
       {std::string_view(denial.what), denial.rule, denial.reason, std::string_view(denial.exe),
        std::string_view(denial.path)}) {
    key.append(part).push_back('\0');
  }
  if (!joined_.contains(key) && joined_.size() >= kMaxJoined) {
    key.clear();
    denial = Denial{.process = denial.process,
                    .exe = {},
                    .what = "others",
                    .rule = "others",
                    .reason = "further refused calls",
                    .arguments = {},
                    .path = {}};
  }
  Joined& joined = joined_[key];
  if (joined.count++ != 0) return nullptr;
  joined.first = std::move(denial);
  joined.since = now;
  joined.at_ms = sys::now_ms();
  return &joined.first;
}

std::optional<ipc::AuditAppend> Denials::take(std::uint64_t now) {
  if (now >= refilled_ + kDenialEveryMs) {
    ration_ = std::min(kDenialBurst, ration_ + (now - refilled_) / kDenialEveryMs);
    refilled_ = now;
  }
  if (ration_ == 0) return std::nullopt;
  const auto due = std::ranges::min_element(
      joined_, {}, [](const auto& entry) { return entry.second.since; });
  if (due == joined_.end() || now < due->second.since + kJoinMs) return std::nullopt;
  --ration_;
  const Joined joined = std::move(due->second);
  joined_.erase(due);

  using ipc::FieldKey;
  ipc::AuditAppend record;
  record.event = ipc::Event::denial;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  record.add(FieldKey::syscall, joined.first.what);
  record.add(FieldKey::pid, std::to_string(joined.first.process));
  if (!joined.first.exe.empty()) record.add(FieldKey::exe, joined.first.exe);
  if (!joined.first.path.empty()) record.add(FieldKey::path, joined.first.path);
  record.add(FieldKey::rule, joined.first.rule);
  record.add(FieldKey::reason, joined.first.reason);
  if (!joined.first.arguments.empty()) record.add(FieldKey::args, joined.first.arguments);
  record.add(FieldKey::count, std::to_string(joined.count));
  record.add(FieldKey::at, sys::utc_text(joined.at_ms));  // of the first
  return record;
}

bool Pace::may_go(std::uint64_t now) {
  if (now >= interval_ + kPaceMs) {
    interval_ = now;
    gone_ = 0;
  }
  if (gone_ >= kMaxPerPace) return false;
  ++gone_;
  return true;
}

std::optional<Pace::Held> Pace::release(std::uint64_t now) {
  if (held_.empty() || !may_go(now)) return std::nullopt;
  const Held held = held_.front();
  held_.pop_front();
  return held;
}

}  // namespace oqto::sandbox
