// Writing JSON without building a tree first: members in the order of the calls.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace oqto::protocol {

// Invalid UTF-8 becomes U+FFFD, so the result is always valid JSON.
void append_json_text(std::string& out, std::string_view text);
void append_json_number(std::string& out, double value);

// The longest prefix of at most `max` bytes that does not cut a character in two.
std::string_view cut_text(std::string_view text, std::size_t max);

// The same for a piece of a longer text, at its end: unless it is the last one, a character that goes on in
// the next piece is left to that.
std::string_view cut_text_at_end(std::string_view piece, bool last);

class JsonObject {
 public:
  JsonObject& text(std::string_view key, std::string_view value);
  JsonObject& boolean(std::string_view key, bool value);
  JsonObject& number(std::string_view key, std::integral auto value) {
    return json(key, std::to_string(value));
  }
  JsonObject& real(std::string_view key, double value);
  JsonObject& json(std::string_view key, std::string_view value);  // JSON text already
  JsonObject& text_unless_empty(std::string_view key, std::string_view value) {
    return value.empty() ? *this : text(key, value);
  }
  JsonObject& append(std::string_view members);  // `"a":1,"b":2`; may be empty

  [[nodiscard]] std::string str() const { return '{' + members_ + '}'; }
  [[nodiscard]] const std::string& members() const { return members_; }

 private:
  void key(std::string_view name);
  std::string members_;
};

class JsonArray {
 public:
  JsonArray& json(std::string_view value);
  JsonArray& text(std::string_view value);
  [[nodiscard]] std::string str() const { return '[' + items_ + ']'; }
  [[nodiscard]] std::size_t bytes() const { return items_.size(); }

 private:
  std::string items_;
};

}  // namespace oqto::protocol
