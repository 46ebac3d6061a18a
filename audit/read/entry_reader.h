// One entry taken apart, by the names that its members have: "time", "actor.username",
// "fields.argv". What an entry has beside the names that this version knows is there as well.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/json.h"

namespace oqto::audit {

struct ReadEntry {
  std::vector<JsonMember> members;  // views into the entry
  std::vector<JsonMember> actor;
  std::vector<JsonMember> fields;

  // nullopt: not what auditd writes.
  static std::optional<ReadEntry> parse(std::string_view entry);

  [[nodiscard]] std::string_view raw(std::string_view path) const;  // as spelled; empty: not there
  [[nodiscard]] std::string text(std::string_view path) const;      // value_text() of it
  [[nodiscard]] std::uint64_t number(std::string_view path) const;  // 0: not there
};

// Cheap: the event that an entry is of, as spelled near its start, where no text can spell it; empty: none.
// To be confirmed with parse().
std::string_view event_of(std::string_view entry);

// What a JSON value says: a string's content, the bytes of {"base64":…}, what is left of
// {"cut":…}; several of an array with a space between. Numbers as they are.
std::string value_text(std::string_view value);

// Each string of a value, however deep, and each array's strings with spaces between them: a command
// line. Stops when `visit` returns true, and returns that.
bool any_text(std::string_view value, const std::function<bool(const std::string&)>& visit);

}  // namespace oqto::audit
