// What a file watch could not see, by why: joined and counted until it is recorded, never silently
// left out.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "ipc/audit.h"

namespace oqto::sandbox {

enum class Missed : std::uint8_t {
  overflow,
  too_many,
  too_deep,
  no_watches,
  unreadable,
  unwatchable,
  exchanged,
  unfinished,
  kEnd
};

class MissedChanges {
 public:
  // `where`: a relative path, of which the first is named.
  void add(Missed why, const std::string& where, std::uint64_t now);
  [[nodiscard]] bool any() const { return count_ != 0; }
  // The next one that has been joined for so long; false: there is none. `inside`: what the session
  // calls the root.
  bool take(std::uint64_t now, std::uint64_t join_ms, const std::string& inside,
            ipc::AuditAppend& record);

 private:
  struct Sum {
    std::uint64_t count = 0, since = 0, at = 0;
    std::string where;
  };
  std::array<Sum, static_cast<std::size_t>(Missed::kEnd)> sums_;
  std::size_t count_ = 0;  // of those that are not zero
};

}  // namespace oqto::sandbox
