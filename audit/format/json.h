// The one spelling of JSON that the log uses: no whitespace, shortest escapes, and everything that
// a terminal or a reader's eye could be tricked with (C0, C1, DEL, line separators, bidirectional
// and invisible characters) as \u. What this writer did not write, the reader refuses.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::audit {

// Appends "text", or {"base64":"..."} when `value` is not UTF-8.
void append_json(std::string& out, std::string_view value);
std::size_t json_size(std::string_view value);  // what append_json would append

// The same escapes without quotes, for terminals; bytes that are not UTF-8 become \x..
std::string printable(std::string_view value);

struct JsonMember {
  std::string_view key;    // unescaped: keys are plain ASCII
  std::string_view value;  // as spelled; views into the text
};

// The members of one canonical JSON object, nullopt if `text` is anything else. Numbers are whole.
std::optional<std::vector<JsonMember>> json_members(std::string_view text);

// The items of one canonical JSON array, nullopt if `text` is anything else.
std::optional<std::vector<std::string_view>> json_items(std::string_view text);

bool is_canonical_object(std::string_view text);

// A canonical JSON string's content, nullopt if `value` is another kind.
std::optional<std::string> json_text(std::string_view value);

}  // namespace oqto::audit
