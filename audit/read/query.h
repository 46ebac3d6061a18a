// Which entries an auditor asks for. A matcher over one entry: whoever has the entries, in whatever
// order, can use it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::audit {

struct ReadEntry;

// Empty lists and bounds that are not set match everything. Of one list, one must fit; of `texts`,
// all. Texts are compared without regard to the case of ASCII letters.
struct Query {
  std::uint64_t first = 0;             // indices, both included
  std::uint64_t last = ~std::uint64_t{0};
  std::uint64_t from_ms = 0;           // Unix milliseconds, included
  std::uint64_t to_ms = ~std::uint64_t{0};  // not included
  std::vector<std::string> actors;     // user name or process of who acted
  std::vector<std::string> tenants;    // account number or name, acting or concerned
  std::vector<std::string> sessions;   // beginnings of session ids
  std::vector<std::uint64_t> classes;  // OCSF
  std::vector<std::string> events;     // "login"; "session.*" for all that begin so
  std::vector<std::string> outcomes;   // "success", "failure", "unknown"
  std::vector<std::string> texts;      // anywhere in what was recorded
  std::uint64_t limit = ~std::uint64_t{0};

  [[nodiscard]] bool matches(std::uint64_t index, std::string_view entry) const;

 private:
  [[nodiscard]] bool may_hold_texts(std::string_view entry) const;
  [[nodiscard]] bool matches_who(const ReadEntry& entry) const;
  [[nodiscard]] bool matches_what(const ReadEntry& entry) const;
  [[nodiscard]] bool selects_by_content() const;
};

// Whether `text` contains `part`, ASCII letters compared without regard to case.
bool contains_folded(std::string_view text, std::string_view part);

}  // namespace oqto::audit
