// On a full disk the log lives on what was set aside (log_reserve.cc). That is for the host's own
// records: sign-ins and their ends, what an operator does, what becomes of sessions. Of the half of
// it each tenant may use a small part, so that others work on while one fills the disk and then
// floods the log.
#include "audit/auditd/server.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {

using ipc::FieldKey;

namespace {

constexpr std::uint64_t kLookEveryMs = 100;
constexpr std::uint64_t kTenantPart = 8;  // of the whole
constexpr std::size_t kAround =
    1500;  // what an entry and a batch of its own put around a short record
constexpr const char* kNoRoom = "the disk of the audit log has no room";

}  // namespace

void Server::watch_room() {
  // After every batch: in a tenth of a second a fast disk takes all that is set aside.
  const std::uint64_t now = sys::monotonic_ms();
  const bool is_new = space_seen_at_ != next_index_ || now - space_seen_ms_ >= kLookEveryMs;
  if (is_committing_ || !is_new) return;
  space_seen_at_ = next_index_;
  space_seen_ms_ = now;
  const bool was_tight = space_.is_tight;
  space_ = log_.space(was_tight);
  if (was_tight == space_.is_tight) return;
  if (space_.is_tight) {
    return log::error(kNoRoom, {{"set_aside_bytes", space_.left},
                                {"do", "make room on the disk of the state directory"}});
  }
  log::info("the disk of the audit log has room again");
  has_told_tight_ = false;
  for (const auto& [account, tight] : std::exchange(tight_, {})) {
    if (tight.refused == 0) continue;
    add_own(ipc::Event::log_gap,
            {{FieldKey::account, std::to_string(account)},
             {FieldKey::count, std::to_string(tight.refused)},
             {FieldKey::reason, std::string("records of this tenant were refused: ") + kNoRoom}});
  }
}

bool Server::refuse_for_room(Source& source, const ipc::AuditAppend& record, std::uint32_t account,
                             std::size_t bytes) {
  watch_room();
  if (!space_.is_tight || account == 0 || !may_refuse(source, record)) return false;
  Tight& tight = tight_[account];
  // What was begun is to be concluded.
  const bool is_outcome = record.phase == ipc::Phase::outcome && space_.left > space_.whole / 4;
  const std::size_t takes = bytes + kAround;
  const bool has_part =
      space_.left > space_.whole / 2 && tight.bytes + takes <= space_.whole / kTenantPart;
  if (is_outcome || has_part) {
    tight.bytes += takes;
    return false;
  }
  ++tight.refused;
  if (!std::exchange(has_told_tight_, true)) {
    ipc::AuditAppend full = own_record(ipc::Event::log_full);
    full.list = {
        {FieldKey::reason, std::string(kNoRoom) + ": records of tenants are refused from here on"},
        {FieldKey::boottime_ms, std::to_string(sys::boottime_ms())}};
    add_own(std::move(full));  // stands in the log before anybody is told
    auto status = await_commit();
    if (status) status = commit_now();
    if (!status) failure_ = status;
  }
  const auto sent = source.channel.send(ipc::AuditRefused{record.request, kNoRoom});
  if (!sent) drop(source, sent.error().code == Errc::limit ? "it does not read its answers" : "");
  return true;
}

}  // namespace oqto::audit
