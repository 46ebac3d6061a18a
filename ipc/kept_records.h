// Records of what has happened already: kept until they stand in the log, while auditd is away,
// does not keep up or refuses them. Without this an intent would stay without its outcome, and
// nobody could say why.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>

#include "ipc/audit.h"

namespace oqto::ipc {

class KeptRecords {
 public:
  static constexpr std::uint64_t kSoonMs = 50;    // auditd does not keep up
  static constexpr std::uint64_t kAgainMs = 500;  // … refuses everybody's records
  static constexpr std::uint64_t kBudgetAgainMs =
      60'000;  // … this account's: until 00:00 UTC, or for its reserve
  // auditd remembers so many blobs of a source, the newest, and cuts off a source that names
  // another.
  static constexpr std::uint64_t kNameableBlobs = 64;

  // `requests`: where the owner's next request number stands. `max`: of records; of events, which
  // no intent waits for, three quarters of it.
  KeptRecords(std::uint64_t& requests, std::size_t max) : requests_(requests), max_(max) {}

  void keep(AuditAppend record);
  // Whether the outcome of one more act is certain to find room.
  [[nodiscard]] bool has_room_for_an_act() const { return kept_.size() < max_ - max_ / 8; }

  // Sends what has not been sent: `put` is false if it could not. Returns after how many ms to
  // call it again; 0: nothing is left, or auditd's answer comes first.
  template <class Send>
  std::uint64_t send(std::uint64_t now_ms, Send put) {
    say_what_was_lost();
    std::uint64_t wait = 0;
    for (auto& [request, kept] : kept_) {
      Gate& gate = gate_of(kept.record);
      if (kept.is_sent || gate.probe != 0) continue;
      if (now_ms < gate.not_before) {
        wait = wait == 0 ? gate.not_before - now_ms : std::min(wait, gate.not_before - now_ms);
        continue;
      }
      make_ready(kept);
      if (!put(kept.record)) return kSoonMs;
      kept.is_sent = true;
      if (gate.is_probing) gate.probe = request;
    }
    return wait;
  }

  // auditd's answers. False: that is none of these.
  bool settle(std::uint64_t request);
  bool refused(std::uint64_t request, RefusedFor why, std::uint64_t now_ms);
  // The channel leads to another auditd: what it was sent before may be lost, and blobs are unknown
  // to it.
  void begin_anew();
  // The owner has sent a text to be stored; auditd has answered one, either way.
  void blob_sent() { ++blobs_sent_; }
  void blob_answered() { blobs_answered_ = std::min(blobs_answered_ + 1, blobs_sent_); }

  [[nodiscard]] std::size_t size() const { return kept_.size(); }

 private:
  struct Kept {
    AuditAppend record;
    std::uint64_t at_ms = 0;  // wall clock
    std::uint64_t blobs = 0;  // that auditd had answered then: all others may be newer than its own
    std::uint64_t stands_for = 1;
    bool is_sent = false;
  };
  // An account's budget has a reserve for outcomes: they do not wait behind events that are refused
  // for it.
  struct Gate {
    std::uint64_t not_before = 0;  // monotonic
    bool is_probing = false;       // one record at a time, until one is taken
    std::uint64_t probe = 0;       // its request, until it is answered; 0: none is on its way
  };
  Gate& gate_of(const AuditAppend& record) {
    return record.phase == Phase::outcome ? outcomes_ : events_;
  }
  bool make_room(bool for_outcome);
  void add(AuditAppend record, std::uint64_t stands_for);
  void make_ready(Kept& kept) const;
  void say_what_was_lost();

  std::uint64_t& requests_;
  const std::size_t max_;
  std::map<std::uint64_t, Kept> kept_;  // by request: in the order in which they came
  Gate outcomes_, events_;
  std::uint64_t blobs_sent_ = 0, blobs_answered_ = 0;
  std::uint64_t lost_ = 0;
};

// What an intent came to that was written after nobody waited for it any more. Names whose it is as
// `intent` does.
AuditAppend given_up_outcome(const AuditAppend& intent);

}  // namespace oqto::ipc
