// What the entries say about time and about the keys beside the log: is each tenant's key of a day the one
// that the day's fields were sealed with, or does an entry say that it was erased?
#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "audit/format/tenant_keys.h"

namespace oqto::audit {

struct Verification;

class KeyNotes {
 public:
  explicit KeyNotes(const Fd& log) : keys_(log) {}
  void add(std::uint64_t index, std::string_view entry);
  void judge(Verification& verification) const;  // once all entries were read

 private:
  using Day = std::pair<std::uint32_t, std::string>;  // of a tenant
  struct Seen {
    std::uint64_t entries = 0;
    std::uint64_t not_opened = 0;  // the first one that does not open
    std::string_view why = {};     // it does not; empty: all do that were tried
  };
  void judge_day(Verification& verification, const Day& day, const Seen& seen) const;

  KeyReader keys_;
  static constexpr std::size_t kMaxDays = 1'000'000;  // of all tenants: a hostile log may name as many as it has entries
  std::map<Day, Seen> days_;
  std::uint64_t beyond_ = 0;  // entries of further ones
  std::set<Day> erased_;  // as auditd's entries say
};

// Times that go back although auditd does not say that the clock was set.
struct TimeNotes {
  std::uint64_t newest_ms = 0;
  std::uint64_t last_ms = 0;
  std::uint64_t backwards = 0;  // how often
  std::uint64_t first_back = 0;
  std::uint64_t first_ms = 0;  // the time before it
  bool is_announced = false;
  std::uint64_t uncovered = 0;  // the first entry that the published checkpoint does not cover …
  std::uint64_t uncovered_ms = 0;  // … and its time; 0: it was not read

  void add(std::uint64_t index, std::string_view entry);
  void judge(Verification& verification) const;

 private:
  void remark_age(Verification& verification) const;
};

}  // namespace oqto::audit
