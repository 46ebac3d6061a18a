// What an operator has auditd do to the log, each act with its record in the log itself.
#include <fcntl.h>

#include <algorithm>

#include "audit/auditd/server.h"
#include "audit/format/segment_file.h"
#include "audit/format/time_text.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

using ipc::FieldKey;

constexpr std::uint64_t kDayMs = 86'400'000;

ipc::AuditAppend record_of(ipc::Event event, ipc::Phase phase, const Status& status) {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = phase;
  if (phase != ipc::Phase::intent) {
    record.outcome = status ? ipc::Outcome::success : ipc::Outcome::failure;
    if (!status) record.add(FieldKey::reason, status.error().what);
  }
  return record;
}

// Who asked: the kernel's login uid, and the name that oqtoctl gives.
ipc::AuditAppend by_operator(ipc::AuditAppend record, const ipc::AuditManage& wanted) {
  record.add(FieldKey::operator_uid, std::to_string(wanted.operator_uid));
  const std::string name = wanted.operator_name.str();
  if (!name.empty()) record.add(FieldKey::operator_name, name + " (claimed)");
  return record;
}

}  // namespace

// Its index once it is durable.
Result<std::uint64_t> Server::commit_own(ipc::AuditAppend record) {
  constexpr int kTries = 3;  // a commit may have something to say of its own
  for (int i = 0; i == 0 || (i < kTries && !own_.empty()); ++i) TRY(commit_now());
  if (!own_.empty()) return fail(Errc::unavailable, "the audit log does not accept records now");
  watch_clock();  // what that has to say comes before
  add_own(std::move(record));
  TRY(commit_now());
  if (own_.empty()) return log_.next_index() - 1;
  own_.clear();
  return fail(Errc::unavailable, "the audit log does not accept records now");
}

Result<std::uint64_t> Server::erase_key(const ipc::AuditManage& wanted) {
  const std::uint32_t account = wanted.account, day = wanted.day;
  const std::uint64_t from = std::uint64_t{day} * kDayMs;
  if (account == 0) return fail(Errc::invalid, "only a tenant's key can be erased");
  if (sys::now_ms() < from + kDayMs) {
    return fail(Errc::invalid, "a day's key can be erased when the day (UTC) is over");
  }
  const std::string text = utc_day(from);
  const auto fields = [&](ipc::AuditAppend record) {
    record.add(FieldKey::account, std::to_string(account)).add(FieldKey::day, text);
    return by_operator(std::move(record), wanted);
  };
  const std::uint64_t intent = TRY(
      commit_own(fields(record_of(ipc::Event::key_erase, ipc::Phase::intent, {}))));
  const Status erased = vault_->erase(account, text);
  ipc::AuditAppend outcome = fields(record_of(ipc::Event::key_erase, ipc::Phase::outcome, erased));
  outcome.intent = intent;
  add_own(std::move(outcome));
  if (!erased) return std::unexpected(erased.error());
  return intent;
}

// Only whole segments can go, and never the newest.
Result<std::uint64_t> Server::permit_prune(const ipc::AuditManage& wanted) {
  const Fd segments = TRY(sys::open_beneath(log_.dir(), kSegmentDir, O_RDONLY | O_DIRECTORY));
  const auto firsts = TRY(list_segments(segments));
  const auto above = std::ranges::upper_bound(firsts, wanted.index);
  if (above == firsts.begin() || *std::prev(above) == firsts.front()) {
    return fail(Errc::not_found, "no whole segment is before this entry");
  }
  const std::uint64_t minimum = *std::prev(above);
  ipc::AuditAppend permit = record_of(ipc::Event::log_prune, ipc::Phase::event, {});
  permit.add(FieldKey::minimum_index, std::to_string(minimum));
  (void)TRY(commit_own(by_operator(std::move(permit), wanted)));
  return minimum;
}

Status Server::manage(const ipc::AuditManage& wanted) {
  const auto done = wanted.verb == ipc::AuditVerb::erase ? erase_key(wanted)
                                                         : permit_prune(wanted);
  ipc::AuditManaged answer;
  answer.request = wanted.request;
  answer.ok = done ? 1 : 0;
  answer.index = done.value_or(0);
  if (!done) {
    log::warn("the operator's wish is not fulfilled", {{"why", done.error().what}});
    answer.why = done.error().what;
  }
  return guard_.send(answer);
}

}  // namespace oqto::audit
