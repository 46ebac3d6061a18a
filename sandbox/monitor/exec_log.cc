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
  kept_.push_back({std::move(record), sys::monotonic_ms()});
  flush();
}

void ExecLog::flush() {
  if (!connected_) return;
  for (Kept& kept : kept_) {
    if (kept.sent) continue;
    const Status sent = channel_.send(kept.record);
    if (!sent) {
      if (sent.error().code != Errc::limit) connected_ = false;
      return;
    }
    kept.sent = true;
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
  if (!refusing_) flush();
}

Status ExecLog::take_answer(const ipc::Received& received) {
  if (received.tag == ipc::Tag::audit_appended) {
    TRY(received.as<ipc::AuditAppended>()).each([this](std::uint64_t request, std::uint64_t /*index*/) {
      settle(request, true);
    });
  } else {
    settle(TRY(received.as<ipc::AuditRefused>()).request, false);
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
