// Refused system calls, on their way to the log. An agent decides how many there are, so alike ones
// are joined, records are rationed, and answers are paced: a flood costs the flooder its own time.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ipc/audit.h"

namespace oqto::sandbox {

constexpr std::uint64_t kJoinMs = 1000;         // alike ones within this time are one record
constexpr std::size_t kMaxJoined = 64;          // different ones; the rest are counted together
constexpr std::uint64_t kDenialBurst = 20;      // records at once
constexpr std::uint64_t kDenialEveryMs = 1000;  // and then one each

struct Denial {
  pid_t process = -1;
  std::string exe;
  std::string what;       // the call's name
  std::string_view rule;  // what decided: a set, or a rule about arguments
  std::string_view reason;
  std::string arguments;  // JSON list, or empty
  std::string path;       // inside, or empty
};

// Joins and rations. Times are monotonic milliseconds.
class Denials {
 public:
  // What it was kept as, if it is the first of its kind: for details that are dear to find out. Valid
  // until the next call.
  Denial* add(Denial denial, std::uint64_t now);
  // The next record that is due.
  std::optional<ipc::AuditAppend> take(std::uint64_t now);
  [[nodiscard]] bool waits() const { return !joined_.empty(); }

 private:
  struct Joined {
    Denial first;
    std::uint64_t since = 0;
    std::uint64_t at_ms = 0;  // wall clock
    std::uint64_t count = 0;
  };
  std::map<std::string, Joined> joined_;
  std::uint64_t ration_ = kDenialBurst;
  std::uint64_t refilled_ = 0;
};

constexpr std::uint64_t kPaceMs = 100;
constexpr std::size_t kMaxPerPace = 1000;  // answers; about a tenth of one core of ours

// Which answers may go now, and which wait for the next interval. One per task can wait.
class Pace {
 public:
  [[nodiscard]] bool may_go(std::uint64_t now);
  struct Held {
    std::uint64_t id;
    int error;
  };
  void hold(Held held) { held_.push_back(held); }
  std::optional<Held> release(std::uint64_t now);
  [[nodiscard]] bool holds() const { return !held_.empty(); }

 private:
  std::deque<Held> held_;
  std::uint64_t interval_ = 0;
  std::size_t gone_ = 0;
};

}  // namespace oqto::sandbox
