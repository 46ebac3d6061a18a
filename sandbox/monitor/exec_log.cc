#include "sandbox/monitor/exec_log.h"

#include <algorithm>

#include "base/sys.h"

namespace oqto::sandbox {

bool ExecLog::available() const {
  return connected_ && !refusing_ &&
         (kept_.empty() || sys::monotonic_ms() < kept_.front().since + kStalledMs);
}

void ExecLog::add(ipc::AuditAppend record) {
  record.request = next_request_++;
  kept_.push_back({std::move(record), sys::monotonic_ms(), sys::now_ms()});
  flush();
}

bool ExecLog::send(Kept& kept) {
  constexpr std::uint64_t kSoonMs = 100;
  const bool is_dated = std::ranges::count(kept.record.list, ipc::FieldKey::at, &ipc::AuditField::key) > 0;
  if (!is_dated && sys::now_ms() > kept.at_ms + kSoonMs) {
    kept.record.add(ipc::FieldKey::at, sys::utc_text(kept.at_ms));
  }
  const Status sent = channel_.send(kept.record);
  if (!sent && sent.error().code != Errc::limit) connected_ = false;
  kept.sent = sent.has_value();
  return kept.sent;
}

void ExecLog::flush() {
  if (!connected_ || refusing_) return;
  for (Kept& kept : kept_) {
    if (!kept.sent && !send(kept)) return;
  }
}

void ExecLog::on_ready() {
  for (;;) {
    const auto received = channel_.receive();
    if (!received) {
      if (received.error().code != Errc::limit) connected_ = false;
      break;
    }
    if (!take_answer(*received)) {
      connected_ = false;
      break;
    }
  }
  flush();
}

Status ExecLog::take_answer(const ipc::Received& received) {
  if (received.tag == ipc::Tag::audit_appended) {
    TRY(received.as<ipc::AuditAppended>()).each([this](std::uint64_t request, std::uint64_t /*index*/) {
      settle(request, true);
    });
  } else {
    const auto refused = TRY(received.as<ipc::AuditRefused>());
    again_at_ = sys::monotonic_ms() +
                (refused.reason == ipc::RefusedFor::budget ? kNextDayMs : kSendAgainMs);
    settle(refused.request, false);
  }
  return {};
}

void ExecLog::settle(std::uint64_t request, bool durable) {
  const auto found = std::ranges::find_if(
      kept_, [request](const Kept& kept) { return kept.record.request == request; });
  if (found == kept_.end()) return;
  refusing_ = !durable;
  if (durable) {
    kept_.erase(found);
  } else {
    found->sent = false;
  }
}

void ExecLog::tick() {
  flush();
  const bool is_due = connected_ && refusing_ && !kept_.empty() && sys::monotonic_ms() >= again_at_;
  if (!is_due || !send(kept_.front())) return;
  again_at_ = sys::monotonic_ms() + kSendAgainMs;  // unless the answer says another time
}

void ExecLog::replace(ipc::Channel channel) {
  channel_ = std::move(channel);
  connected_ = true;
  refusing_ = false;
  for (Kept& kept : kept_) {
    kept.sent = false;
    kept.since = sys::monotonic_ms();
  }
  flush();
}

}  // namespace oqto::sandbox
