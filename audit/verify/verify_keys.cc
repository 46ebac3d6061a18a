#include "audit/verify/verify_keys.h"

#include <fcntl.h>
#include <string.h>

#include <bit>
#include <charconv>

#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "audit/read/open_entry.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kHead = 64;  // where the time is
constexpr std::uint64_t kMaxBackMs = 10'000;  // records of several processes are not in order to the second
constexpr std::string_view kSealed = R"("sealed":{"tenant":)";  // no text in an entry can spell it
constexpr std::string_view kDay = R"(,"day":")";
constexpr std::size_t kDayLength = 10;

// By whom, if the entry has sealed fields.
bool read_owner(std::string_view entry, std::uint32_t& tenant, std::string& day) {
  const void* found = ::memmem(entry.data(), entry.size(), kSealed.data(), kSealed.size());
  if (found == nullptr) return false;
  std::string_view rest = entry.substr(
      static_cast<std::size_t>(static_cast<const char*>(found) - entry.data()) + kSealed.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), tenant);
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (error != std::errc{} || !rest.starts_with(kDay)) return false;
  day = rest.substr(kDay.size(), kDayLength);
  return is_day(day);
}

std::string path_of(const std::pair<std::uint32_t, std::string>& day) {
  return std::string(kKeysDir) + "/" + std::to_string(day.first) + "/" + day.second;
}

}  // namespace

// Not every entry is opened, which would take longer than all else: the first of a day, and each time that
// their number has doubled.
void KeyNotes::add(std::uint64_t index, std::string_view entry) {
  Day day;
  const bool is_sealed = read_owner(entry, day.first, day.second);
  if (is_sealed && days_.size() >= kMaxDays && !days_.contains(day)) {
    ++beyond_;
  } else if (is_sealed) {
    Seen& seen = days_[day];
    if (std::has_single_bit(++seen.entries) && seen.why.empty()) {
      seen.why = why_sealed(entry, keys_);
      seen.not_opened = index;
    }
  }
  if (event_of(entry) != "key.erase") return;
  const auto parsed = ReadEntry::parse(entry);
  if (!parsed || parsed->text("event") != "key.erase" || parsed->text("actor.process") != "auditd") return;
  erased_.insert({static_cast<std::uint32_t>(parsed->number("fields.account")), parsed->text("fields.day")});
}

void KeyNotes::judge(Verification& v) const {
  std::uint64_t entries = 0;
  for (const auto& [day, seen] : days_) entries += seen.entries;
  if (entries == 0) return;
  if (beyond_ > 0) {
    v.remark(std::to_string(beyond_) + " entries have personal fields of more tenants and days than are looked at: their keys were not tried");
  }
  const auto dir = sys::open_beneath(v.dir, kKeysDir, O_RDONLY | O_DIRECTORY);
  if (!dir && is_unreadable(dir.error())) return v.cannot_read(kKeysDir, dir.error());
  if (!dir) {
    return v.remark(std::to_string(entries) + " entries have personal fields, which were not opened: " +
                    kKeysDir + "/ is not here, with which they could be");
  }
  std::uint64_t gone = 0;
  for (const auto& [day, seen] : days_) {
    if (seen.why.empty()) continue;
    if (erased_.contains(day)) {
      gone += seen.entries;
    } else {
      judge_day(v, day, seen);
    }
  }
  if (gone > 0) {
    v.remark(std::to_string(gone) + " entries have personal fields that cannot be opened any more: their keys were erased, as the log says");
  }
}

void KeyNotes::judge_day(Verification& v, const Day& day, const Seen& seen) const {
  const std::string path = path_of(day);
  const auto file = sys::open_beneath(v.dir, path.c_str(), O_RDONLY | O_NONBLOCK);
  if (!file && is_unreadable(file.error())) return v.cannot_read(path, file.error(), seen.not_opened);
  if (v.from > 0 && seen.why == kIsErased) return;  // what was not read may say so
  const std::string what = seen.why == kIsForged  ? "is another key than entry "
                           : seen.why == kIsErased ? "was destroyed, with which entry "
                                                   : "is not there, with which entry ";
  v.find(path, what + std::to_string(seen.not_opened) + " was sealed" +
                   (seen.why == kIsForged ? " with" : "") + ", and no entry says that it was erased",
         seen.not_opened);
}

void TimeNotes::add(std::uint64_t index, std::string_view entry) {
  constexpr std::string_view kTime = R"(,"time":)";
  const std::string_view head = entry.substr(0, kHead);
  const std::size_t at = head.find(kTime);
  std::uint64_t time = 0;
  if (at == head.npos) return;
  const char* const digits = head.data() + at + kTime.size();
  if (std::from_chars(digits, head.data() + head.size(), time).ec != std::errc{}) return;
  const bool is_step = event_of(entry) == "clock.step";
  if (time + kMaxBackMs < last_ms && !is_step && !is_announced) {
    if (backwards++ == 0) first_back = index, first_ms = last_ms;
  }
  is_announced = is_step;
  if (index == uncovered) uncovered_ms = time;
  last_ms = time;
  newest_ms = std::max(newest_ms, time);
}

// auditd publishes a checkpoint within two seconds of an entry, and a host that runs has an entry at the
// end of each epoch at least.
void TimeNotes::remark_age(Verification& v) const {
  constexpr std::uint64_t kStaleMs = 60'000;
  constexpr std::uint64_t kQuietMs = 3'600'000;
  const bool is_behind = v.report.checkpoint && v.report.checkpoint->size == uncovered && uncovered_ms != 0;
  if (is_behind && newest_ms > uncovered_ms + kStaleMs) {
    v.remark("the published checkpoint is stale: entry " + std::to_string(uncovered) + ", which it does not cover, is " +
             std::to_string((newest_ms - uncovered_ms) / 1000) + " s older than the newest");
  }
  const std::uint64_t now = sys::now_ms();
  if (newest_ms == 0 || now < newest_ms + kQuietMs) return;
  v.remark("the newest entry is of " + utc_text(newest_ms) + ", " + std::to_string((now - newest_ms) / kQuietMs) +
           " h ago: this is an old copy, or the host has not run since, or the log was cut back; a checkpoint that "
           "you kept (--known) or a witness tells");
}

void TimeNotes::judge(Verification& v) const {
  v.report.newest_ms = newest_ms;
  remark_age(v);
  if (backwards == 0) return;
  v.remark("time goes back " + std::to_string(backwards) + (backwards == 1 ? " time" : " times") +
           " without an entry that the clock was set, first with entry " + std::to_string(first_back) +
           ", behind one of " + utc_text(first_ms) + ": the order is the number, not the time");
}

}  // namespace oqto::audit
