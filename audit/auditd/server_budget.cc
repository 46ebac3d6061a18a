// A tenant's share of the log in a day: whose a record is, who waits, and who is refused.
#include <algorithm>

#include "audit/auditd/server.h"
#include "audit/format/time_text.h"
#include "base/sys.h"
#include "ipc/audit_refusal.h"

namespace oqto::audit {

using ipc::FieldKey;

std::uint32_t charged_account(const Actor& actor, const ipc::AuditAppend& record) {
  if (actor.account != 0) return actor.account;
  const bool tells_of_tenants = actor.process == ipc::Process::gateway || actor.process == ipc::Process::guard;
  return tells_of_tenants ? tenant_of(actor, record) : 0;
}

bool Server::is_paced(const Source& source) const {
  return is_pacing_ && source.actor->account != 0 &&
         budget_.stage(source.actor->account) != Budget::Stage::free;
}

// Not watched while it waits: what it has sent stays in its socket, and then it waits itself.
void Server::pause(Source& source) {
  loop_.unwatch(source.channel.fd(), source);
  source.is_paused = true;
  paused_.push_back(source.id);
}

// One record of each in turn, so that a tenant's flood in one session does not keep another of its own back.
void Server::take_paused() {
  if (!paused_.empty()) begin_day(sys::now_ms());  // nobody else may have anything to say
  const std::uint64_t now = sys::monotonic_ms();
  for (std::size_t left = paused_.size(); left > 0; --left) {
    const std::uint64_t id = paused_.front();
    paused_.pop_front();
    const auto found = sources_.find(id);
    if (found == sources_.end() || found->second->is_dropped) continue;
    Source& source = *found->second;
    const bool is_due = !is_pacing_ || budget_.wait_ms(source.actor->account, now) == 0;
    if (!is_due || !has_share(source) || take_message(source)) {
      paused_.push_back(id);
      continue;
    }
    if (source.is_dropped) continue;
    source.is_paused = false;
    if (!loop_.watch(source.channel.fd(), source)) drop(source, "it cannot be watched");
  }
}

void Server::end_pacing() {
  is_pacing_ = false;
  for (const std::uint64_t id : std::exchange(paused_, {})) {
    const auto found = sources_.find(id);
    if (found == sources_.end() || found->second->is_dropped) continue;
    found->second->is_paused = false;
    if (!loop_.watch(found->second->channel.fd(), *found->second)) drop(*found->second, "it cannot be watched");
  }
}

int Server::ms_to_paused() const {
  if (paused_.empty()) return -1;
  constexpr std::uint64_t kMost = 1000;
  const std::uint64_t now = sys::monotonic_ms();
  std::uint64_t least = kMost;
  for (const std::uint64_t id : paused_) {
    const auto found = sources_.find(id);
    if (found != sources_.end()) least = std::min(least, budget_.wait_ms(found->second->actor->account, now));
  }
  return static_cast<int>(least);
}

// Of our own processes only the gateway is refused, and only what has not been done yet: an act for this
// tenant. The guard's records say what has become of the tenant's processes, and are few.
bool Server::may_refuse(const Source& source, const ipc::AuditAppend& record) {
  return source.actor->account != 0 || (source.actor->process == ipc::Process::gateway &&
                                        record.phase == ipc::Phase::intent);
}

bool Server::refuse_over_budget(Source& source, const ipc::AuditAppend& record, std::uint32_t account) {
  if (account == 0 || !may_refuse(source, record)) return false;
  const auto reserve = record.phase == ipc::Phase::outcome                  ? Budget::Reserve::whole
                       : source.actor->process == ipc::Process::runner ? Budget::Reserve::half
                                                                       : Budget::Reserve::none;
  if (budget_.admits(account, reserve)) return false;
  budget_.charge_refusal(account, sys::monotonic_ms());
  const auto sent = source.channel.send(
      ipc::AuditRefused{record.request, ipc::kBudgetUsedUp.what, ipc::RefusedFor::budget});
  if (!sent) drop(source, sent.error().code == Errc::limit ? "it does not read its answers" : "");
  return true;
}

void Server::charge(std::span<const Pending> records, std::span<const std::size_t> sizes) {
  const std::uint64_t now = sys::monotonic_ms();
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].charged == 0) continue;
    if (const auto stage = budget_.charge(records[i].charged, sizes[i], now)) {
      note_stage(records[i].charged, *stage);
    }
  }
}

void Server::note_stage(std::uint32_t account, Budget::Stage stage) {
  const bool is_used_up = stage == Budget::Stage::used_up;
  ipc::AuditAppend record = own_record(ipc::Event::budget);
  record.outcome = is_used_up ? ipc::Outcome::failure : ipc::Outcome::success;
  const Budget::Used used = budget_.used(account);
  record.list = {{FieldKey::account, std::to_string(account)},
                 {FieldKey::day, utc_day(sys::now_ms())},
                 {FieldKey::reason, is_used_up ? "its share of the day is used up: its records are refused until 00:00 UTC"
                                               : "half of its share of the day is used: its records are taken slowly"},
                 {FieldKey::bytes, std::to_string(used.bytes)},
                 {FieldKey::entries, std::to_string(used.records)},
                 {FieldKey::limit, std::to_string(budget_.limits().bytes)}};
  add_own(std::move(record));
}

void Server::begin_day(std::uint64_t now_ms) {
  for (const auto& [account, refused] : budget_.begin_day(now_ms)) {
    add_own(ipc::Event::budget, {{FieldKey::account, std::to_string(account)},
                                 {FieldKey::reason, "the day is over: its records are taken again"},
                                 {FieldKey::count, std::to_string(refused)}});
  }
}

}  // namespace oqto::audit
