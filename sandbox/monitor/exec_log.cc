#include "sandbox/monitor/exec_log.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::sandbox {

static bool is_outcome(const ipc::AuditAppend& record) { return record.phase == ipc::Phase::outcome; }

bool ExecLog::available() const {
  return connected_ && refuses_ == Refuses::nothing &&
         (kept_.empty() || sys::monotonic_ms() < kept_.front().since + kStalledMs);
}

void ExecLog::submit(Submission submission) {
  submission.record.request = next_request_++;
  std::vector<KeptBlob> blobs;
  std::size_t bytes = 0;
  for (Submission::Blob& blob : std::exchange(submission.blobs, {})) {
    bytes += blob.content.size();
    blobs.push_back({blob.key, sys::sealed_memfd("audit", blob.content).value_or(Fd()), {}});
  }
  blob_bytes_ += bytes;
  kept_.push_back({std::move(submission), std::move(blobs), bytes, sys::monotonic_ms(), sys::now_ms()});
  flush();
}

bool ExecLog::may_send(const Kept& kept) const {
  return refuses_ == Refuses::nothing || (refuses_ == Refuses::all_but_outcomes && is_outcome(kept.what.record));
}

void ExecLog::flush() {
  // A settlement can end a process, and with it submit() more: indices stay, references do not.
  for (std::size_t i = 0; i < kept_.size() && connected_; ++i) {
    if (kept_[i].sent || !may_send(kept_[i])) continue;
    const Status sent = send(kept_[i]);
    if (sent) continue;
    if (sent.error().code != Errc::limit) connected_ = false;
    return;
  }
}

// Success also if it has to wait for something that will come by itself.
Status ExecLog::send(Kept& kept) {
  const auto unstored = std::ranges::find_if(
      kept.blobs, [](const KeptBlob& blob) { return blob.name.empty() && blob.tries < kBlobTries; });
  if (unstored != kept.blobs.end()) return send_blob(kept, *unstored);
  const bool stored = std::ranges::none_of(kept.blobs, &std::string::empty, &KeptBlob::name);
  settle_blobs(kept, stored);
  constexpr std::uint64_t kSoonMs = 100;
  ipc::AuditAppend record = kept.what.record;
  const bool is_dated = std::ranges::count(record.list, ipc::FieldKey::at, &ipc::AuditField::key) > 0;
  if (!is_dated && sys::now_ms() > kept.at_ms + kSoonMs) {
    record.add(ipc::FieldKey::at, sys::utc_text(kept.at_ms));
  }
  if (kept.what.intent) {
    if (*kept.what.intent == ipc::kNoIndex) return {};
    record.intent = *kept.what.intent;
  }
  for (const KeptBlob& blob : kept.blobs) {
    if (!blob.name.empty()) record.add(blob.key, blob.name);
  }
  TRY(channel_.send(record));
  kept.sent = true;
  return {};
}

void ExecLog::settle_blobs(Kept& kept, bool stored) {
  if (std::exchange(kept.settled, true) || !kept.what.settle) return;
  kept.what.settle(kept.what.record, stored);
}

Status ExecLog::send_blob(Kept& kept, KeptBlob& blob) {
  const std::uint64_t now = sys::monotonic_ms();
  if (blob_request_ != 0 || now < blob_again_at_) return {};
  if (!blob.file) {
    blob.tries = kBlobTries;
    return send(kept);
  }
  if (::lseek(blob.file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");  // a former auditd has read it
  const std::uint64_t request = next_request_++;
  TRY(channel_.send(ipc::AuditBlob{request, 0}, blob.file));
  blob_request_ = request;
  blob_owner_ = kept.what.record.request;
  return {};
}

// False: that was no blob's request.
bool ExecLog::blob_done(std::uint64_t request, std::string name, bool never) {
  if (request != blob_request_ || blob_request_ == 0) return false;
  blob_request_ = 0;
  const auto owner = std::ranges::find_if(
      kept_, [this](const Kept& kept) { return kept.what.record.request == blob_owner_; });
  if (owner == kept_.end()) return true;
  const auto blob = std::ranges::find_if(owner->blobs, [](const KeptBlob& each) {
    return each.name.empty() && each.tries < kBlobTries;
  });
  if (blob == owner->blobs.end()) return true;
  if (name.empty()) {
    blob->tries = never ? kBlobTries : blob->tries + 1;
    blob_again_at_ = sys::monotonic_ms() + kSendAgainMs;
  }
  blob->name = std::move(name);
  return true;
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
    TRY(received.as<ipc::AuditAppended>()).each([this](std::uint64_t request, std::uint64_t index) {
      settle(request, index);
    });
  } else if (received.tag == ipc::Tag::audit_blob_stored) {
    const auto stored = TRY(received.as<ipc::AuditBlobStored>());
    (void)blob_done(stored.request, to_hex(stored.sha256), false);
  } else {
    const auto refused = TRY(received.as<ipc::AuditRefused>());
    const bool for_today = refused.reason == ipc::RefusedFor::budget;
    if (blob_done(refused.request, "", for_today)) return {};
    again_at_ = sys::monotonic_ms() + (for_today ? kNextDayMs : kSendAgainMs);
    note_refusal(refused.request, for_today);
  }
  return {};
}

void ExecLog::settle(std::uint64_t request, std::uint64_t index) {
  const auto found = std::ranges::find_if(
      kept_, [request](const Kept& kept) { return kept.what.record.request == request; });
  if (found == kept_.end()) return;
  const bool is_from_reserve = refuses_ == Refuses::all_but_outcomes && is_outcome(found->what.record);
  if (!is_from_reserve) refuses_ = Refuses::nothing;
  if (found->what.index) *found->what.index = index;
  blob_bytes_ -= found->blob_bytes;
  kept_.erase(found);
}

void ExecLog::note_refusal(std::uint64_t request, bool for_today) {
  const auto found = std::ranges::find_if(
      kept_, [request](const Kept& kept) { return kept.what.record.request == request; });
  if (found == kept_.end()) return;
  found->sent = false;
  const bool has_reserve = for_today && !is_outcome(found->what.record) && refuses_ != Refuses::all;
  refuses_ = has_reserve ? Refuses::all_but_outcomes : Refuses::all;
}

void ExecLog::tick() {
  flush();
  const bool is_due = connected_ && refuses_ != Refuses::nothing && sys::monotonic_ms() >= again_at_;
  if (!is_due || std::ranges::any_of(kept_, [this](const Kept& kept) { return kept.sent && !may_send(kept); })) return;
  for (std::size_t i = 0; i < kept_.size(); ++i) {
    if (kept_[i].sent) continue;
    if (!send(kept_[i])) return;
    if (!kept_[i].sent) continue;  // it waits for its blobs, or for what it is the outcome of
    again_at_ = sys::monotonic_ms() + kSendAgainMs;  // unless the answer says another time
    return;
  }
}

// What the former auditd has stored for us, the next one does not let us name: it is stored again.
void ExecLog::replace(ipc::Channel channel) {
  channel_ = std::move(channel);
  connected_ = true;
  refuses_ = Refuses::nothing;
  blob_request_ = 0;
  for (Kept& kept : kept_) {
    kept.sent = false;
    kept.since = sys::monotonic_ms();
    for (KeptBlob& blob : kept.blobs) {
      blob.name.clear();
      blob.tries = 0;
    }
  }
  flush();
}

}  // namespace oqto::sandbox
