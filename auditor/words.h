// What of an entry the index knows: words of its texts, and one key word per fact that can be
// filtered by. A key word is one token for the full-text index, whatever the fact holds.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "audit/read/entry_reader.h"
#include "protocol/audit_command.h"

namespace oqto::auditor {

struct Words {
  std::string keys;
  std::string text;
};
// What is sealed is left out, so that the index holds nothing that an erased key should have taken
// along: such an entry is marked instead, and looked into when somebody searches. `related`: what it
// belongs to, or nullptr; it is found by who and what stands there as well.
Words words_of(const audit::ReadEntry& entry, const audit::ReadEntry* related = nullptr);

// What finds a superset of the entries that fit: all but times, left out events and sealed texts.
// Empty: everything may fit. nullopt: the text has no word in it.
std::optional<std::string> match_expression(const protocol::AuditFilter& filter);

// Whether each word of `text` begins a word of `content`.
bool has_words(std::string_view content, std::string_view text);

}  // namespace oqto::auditor
