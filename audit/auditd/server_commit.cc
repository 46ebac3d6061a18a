// How records get into the log: what auditd has to say itself, one batch per turn, and the answers.
#include <algorithm>
#include <cstdlib>

#include "audit/auditd/server.h"
#include "audit/format/epoch.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {

using ipc::Event;
using ipc::FieldKey;

namespace {

constexpr std::size_t kMaxChunk = 4 << 20;  // of a batch; with one entry more far below kMaxBody

}  // namespace

bool is_of_auditd(Event event) {
  switch (event) {
    case Event::clock_step:
    case Event::log_gap:
    case Event::log_full:
    case Event::epoch_seal:
    case Event::key_erase:
    case Event::log_prune:
    case Event::budget:
    case Event::adopt:
      return true;
    default:
      return false;
  }
}

// --- what auditd says itself ---

ipc::AuditAppend Server::own_record(Event event) const {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::success;
  return record;
}

void Server::add_own(Event event, std::initializer_list<ipc::AuditField> fields) {
  ipc::AuditAppend record = own_record(event);
  record.list = fields;
  add_own(std::move(record));
}

void Server::add_own(ipc::AuditAppend record) {
  if (own_.size() >= kMaxOwn) return;  // only where the log refuses everybody for long
  own_.push_back({0, 0, self_, sys::now_ms(), 0, std::move(record), {}});
}

// The first entry after a start: in which state the log was found.
void Server::greet() {
  const Log::Recovered& found = log_.recovered();
  log::info("audit log open", {{"entries", found.entries}, {"dropped_bytes", found.dropped_bytes}});
  std::string reason = found.entries == 0 ? "log created" : "log opened";
  if (found.dropped_bytes > 0) {
    reason += "; an unfinished batch of " + std::to_string(found.dropped_bytes) +
              " bytes, never acknowledged, was dropped";
  }
  add_own(Event::process_start, {{FieldKey::process, "auditd"},
                                 {FieldKey::reason, reason},
                                 {FieldKey::boot, boot_id_},
                                 {FieldKey::boottime_ms, std::to_string(sys::boottime_ms())}});
  if (const auto& adoption = log_.adoption()) {
    const std::string name = adoption->operator_name.str();
    ipc::AuditAppend adopt = own_record(Event::adopt);
    adopt.add(FieldKey::reason, "an operator said that the state directory belongs to this place now")
        .add(FieldKey::at, sys::utc_text(adoption->adopted_at_ms))
        .add(FieldKey::operator_uid, std::to_string(adoption->operator_uid));
    if (!name.empty()) adopt.add(FieldKey::operator_name, name + " (claimed)");
    if (!adoption->machine.view().empty()) adopt.add(FieldKey::machine, adoption->machine.view());
    add_own(std::move(adopt));
  }
  if (found.entries > 0 && !found.was_stopped) {
    add_own(Event::log_gap,
            {{FieldKey::reason,
              "auditd had ended without a stop: what was sent to it until now was refused, and is "
              "not counted"}});
  }
  const std::uint64_t now = sys::now_ms();
  if (found.last_time_ms > now + kMaxClockStepMs) {
    add_own(Event::clock_step, {{FieldKey::reason, "the wall clock is behind the last entry"},
                                {FieldKey::duration_ms, std::to_string(found.last_time_ms - now)}});
  }
}

// The order of entries is their index; their time is what the wall clock said. CLOCK_BOOTTIME, which
// nobody can set, shows when that was set.
void Server::watch_clock() {
  const std::uint64_t boottime = sys::boottime_ms();
  const std::int64_t offset =
      static_cast<std::int64_t>(sys::now_ms()) - static_cast<std::int64_t>(boottime);
  if (!std::exchange(has_clock_, true)) clock_offset_ms_ = offset;
  const std::int64_t step = offset - clock_offset_ms_;
  if (std::llabs(step) <= static_cast<std::int64_t>(kMaxClockStepMs)) return;
  clock_offset_ms_ = offset;
  add_own(Event::clock_step,
          {{FieldKey::reason, step < 0 ? "the wall clock went back" : "the wall clock leapt ahead"},
           {FieldKey::duration_ms, std::to_string(std::llabs(step))},
           {FieldKey::boot, boot_id_},
           {FieldKey::boottime_ms, std::to_string(boottime)}});
}

// --- epochs ---

Status Server::request_seal(ipc::SignerAsk what) {
  if (!log_.is_attached()) return {};
  const Status asked = log_.request_seal(what);
  if (!asked && asked.error().code == Errc::unavailable) return {};  // the next turn attaches again
  TRY(asked);
  return commit();
}

// It has to be the entry of the index that it names: the first one of the next batch.
static std::optional<ipc::AuditAppend> seal_record(const Log& log, ipc::AuditAppend record) {
  const auto seal = log.pending_seal() ? read_seal(*log.pending_seal()) : std::nullopt;
  if (!seal) return std::nullopt;
  record.list = {{FieldKey::epoch, std::to_string(seal->epoch)},
                 {FieldKey::note, *log.pending_seal()},
                 {FieldKey::boottime_ms, std::to_string(sys::boottime_ms())}};
  return record;
}

// --- gaps ---

void Server::note_refusal(std::span<const Pending> records) {
  for (const Pending& pending : records) {
    if (pending.source == 0) continue;
    if (gaps_.empty()) gap_since_ms_ = pending.time_ms;
    const bool is_named = gaps_.contains(pending.source) || gaps_.size() < kMaxGaps;
    Gap& gap = gaps_[is_named ? pending.source : 0];
    if (is_named && gap.count() == 0) gap.actor = *pending.actor;
    if (is_named && gap.requests.size() < kMaxDistinct) {
      gap.requests.insert(pending.request);
    } else if (!gap.requests.contains(pending.request)) {
      ++gap.beyond;
    }
  }
}

void Server::append_gaps(std::vector<Pending>& batch) const {
  for (const auto& [source, gap] : gaps_) {
    ipc::AuditAppend record = own_record(Event::log_gap);
    record.list = {{FieldKey::count, std::to_string(gap.count())},
                   {FieldKey::reason, "records were refused, and stand here only if they were sent again: " + gap_reason_},
                   {FieldKey::duration_ms, std::to_string(sys::now_ms() - std::min(gap_since_ms_, sys::now_ms()))}};
    if (source != 0) {
      record.list.push_back({FieldKey::process, std::string(ipc::process_name(gap.actor.process))});
      record.list.push_back({FieldKey::pid, std::to_string(gap.actor.pid)});
      record.list.push_back({FieldKey::account, std::to_string(gap.actor.account)});
    }
    batch.push_back({0, 0, self_, sys::now_ms(), 0, std::move(record), {}});
  }
}

// Room for this one entry is kept at all times.
void Server::record_full(const Error& why) {
  if (std::exchange(was_full_, true)) return;
  std::vector<std::string> entries;
  const auto append = [&](const ipc::AuditAppend& record) {
    entries.push_back(
        encode_entry(log_.next_index() + entries.size(), sys::now_ms(), *self_, record));
  };
  if (const auto seal = seal_record(log_, own_record(Event::epoch_seal))) append(*seal);
  ipc::AuditAppend full = own_record(Event::log_full);
  full.list = {{FieldKey::reason, std::string(why.what) + ": records are refused from here on"},
               {FieldKey::boottime_ms, std::to_string(sys::boottime_ms())}};
  append(full);
  const Status written = log_.commit(entries, Log::Room::reserve);
  if (written) return;
  log::error("not even this could be recorded", written.error());
  if (written.error().code != Errc::limit && written.error().code != Errc::unavailable) {
    failure_ = written;
  }
}

// --- committing ---

Status Server::commit() {
  shares_.clear();
  source_shares_.clear();
  is_share_out_ = false;
  const bool is_due = !gaps_.empty() && log_.is_attached() &&
                      sys::monotonic_ms() - gap_tried_ms_ >= kRetryMs;
  if (batch_.empty() && own_.empty() && !is_due && !log_.pending_seal()) return {};
  watch_clock();
  std::vector<Pending> all;
  if (auto seal = seal_record(log_, own_record(Event::epoch_seal))) {
    all.push_back({0, 0, self_, sys::now_ms(), 0, std::move(*seal), {}});
  }
  append_gaps(all);
  gap_tried_ms_ = sys::monotonic_ms();
  all.insert(all.end(), own_.begin(), own_.end());
  own_under_way_ = own_.size();
  std::ranges::move(batch_, std::back_inserter(all));
  batch_.clear();
  under_way_ = std::move(all);
  is_committing_ = true;
  if (under_way_.size() >= kWorthAThread) {
    committer_->run([this] { written_ = write(under_way_); });
    return {};
  }
  written_ = write(under_way_);
  return conclude();
}

Status Server::commit_now() {
  TRY(commit());
  return await_commit();
}

// Until it is concluded nobody else has the log.
Status Server::await_commit() {
  if (!is_committing_) return {};
  committer_->wait();
  return conclude();
}

// In whichever thread: only `log_` is changed.
std::vector<Server::Written> Server::write(std::span<const Pending> records) {
  std::vector<Written> written;
  std::vector<std::string> entries;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Pending& pending = records[i];
    entries.push_back(encode_entry(log_.next_index() + entries.size(), pending.time_ms,
                                   *pending.actor, pending.record, pending.hidden));
    bytes += entries.back().size();
    if (bytes < kMaxChunk && i + 1 < records.size()) continue;
    const std::uint64_t first = log_.next_index();
    std::vector<std::size_t> sizes;
    for (const std::string& entry : entries) sizes.push_back(entry.size());
    written.push_back({i + 1 - entries.size(), i + 1, first, std::move(sizes), log_.commit(entries)});
    if (!written.back().status) {
      written.back().end = records.size();  // the others would go the same way
      break;
    }
    entries.clear();
    bytes = 0;
  }
  return written;
}

Status Server::conclude() {
  is_committing_ = false;
  const std::vector<Pending> records = std::exchange(under_way_, {});
  for (const Written& part : std::exchange(written_, {})) {
    const Status& status = part.status;
    if (!status && status.error().code != Errc::limit && status.error().code != Errc::unavailable) {
      return status;  // nobody is answered: what is on the disk is not known
    }
    next_index_ = log_.next_index();
    const auto these = std::span(records).subspan(part.begin, part.end - part.begin);
    take_result(these, status);
    if (status) charge(these, part.sizes);
    answer(these, part.first, status);
    TRY(failure_);
  }
  next_index_ = log_.next_index();
  return {};
}

void Server::take_result(std::span<const Pending> records, const Status& status) {
  if (refusing_ != !status) {
    refusing_ = !status;
    if (status) log::info("audit records are accepted again");
    if (!status) log::error("audit records are refused", status.error());
  }
  if (status) {
    own_.erase(own_.begin(), own_.begin() + static_cast<std::ptrdiff_t>(std::exchange(own_under_way_, 0)));
    if (log_.adoption() && own_.empty()) log_.tell_adopted();
    gaps_.clear();
    was_full_ = false;
    committed_at_ms_ = sys::monotonic_ms();
    return;
  }
  gap_reason_ = status.error().what;
  if (status.error().code == Errc::unavailable) gap_reason_ += " (some may stand in the log all the same)";
  note_refusal(records);
  if (status.error().code == Errc::limit) record_full(status.error());
}

// The last of the records that one answer can be for: of one source, requested in a row.
std::size_t Server::end_of_run(std::span<const Pending> records, std::size_t at) {
  const std::size_t from = at;
  while (at + 1 < records.size() && at - from < 0xff && records[at + 1].source == records[at].source &&
         records[at + 1].request == records[at].request + 1) {
    ++at;
  }
  return at;
}

void Server::answer(std::span<const Pending> records, std::uint64_t first, const Status& status) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::size_t from = i;
    if (status) i = end_of_run(records, i);
    const Pending& pending = records[i];
    const auto found = sources_.find(pending.source);
    if (found == sources_.end() || found->second->is_dropped) continue;
    Source& source = *found->second;
    const auto sent =
        status ? source.channel.send(ipc::AuditAppended{pending.request, first + i,
                                                        static_cast<std::uint8_t>(i - from)})
               : source.channel.send(ipc::AuditRefused{pending.request, status.error().what});
    if (sent) continue;
    drop(source, sent.error().code == Errc::limit ? "it does not read its answers" : "");
  }
}

}  // namespace oqto::audit
