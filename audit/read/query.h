// Which entries an auditor asks for. A matcher over one entry: whoever has the entries, in whatever
// order, can use it.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
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
  std::vector<std::string> actors;     // name or account of who acted, or process
  std::vector<std::string> tenants;    // account number or name, acting or concerned
  std::vector<std::string> sessions;   // beginnings of session ids: see plain_session()
  std::vector<std::uint64_t> classes;  // OCSF
  std::vector<std::string> events;     // "login"; "session.*" for all that begin so
  std::vector<std::string> outcomes;   // "success", "failure", "unknown"
  std::vector<std::string> texts;      // anywhere in what was recorded
  std::uint64_t limit = ~std::uint64_t{0};

  // `related`: the entry that it belongs to (Relations), or empty. Whom it concerns, its session and its
  // texts may stand there.
  [[nodiscard]] bool matches(std::uint64_t index, std::string_view entry,
                             std::string_view related = {}) const;
  [[nodiscard]] bool selects_by_content() const;
  [[nodiscard]] std::string text() const;  // "event login, tenant anna"; empty: everything

 private:
  [[nodiscard]] bool may_hold_texts(std::string_view entry) const;
  [[nodiscard]] bool matches_when(const ReadEntry& entry) const;
  [[nodiscard]] bool matches_who(const ReadEntry& entry, const ReadEntry* related) const;
  [[nodiscard]] bool matches_what(const ReadEntry& entry) const;
  [[nodiscard]] bool matches_texts(const ReadEntry& entry, const ReadEntry* related) const;
};

// The paths under which an entry says who acted, whom it concerns, and in which session.
std::vector<std::string_view> actor_paths(const ReadEntry& entry);
std::span<const std::string_view> tenant_paths(const ReadEntry& entry);
std::span<const std::string_view> session_paths();

// When it happened, where the entry says that this was not when it was written. What a tenant's process says of
// that is a claim: nullopt beyond what is possible, and nothing may be put in order by it.
std::optional<std::uint64_t> happened_ms(const ReadEntry& entry);

// Whether the pattern ("login", "session.*") is of an event that there is; else what is wrong with it.
std::optional<std::string> event_problem(std::string_view pattern);

// A session's id as the log has it: other programs write oqto- before it. nullopt: it is none.
std::optional<std::string> plain_session(std::string_view text);

// Whether `text` contains `part`, ASCII letters compared without regard to case.
bool contains_folded(std::string_view text, std::string_view part);

}  // namespace oqto::audit
