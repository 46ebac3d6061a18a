// What people and programs read: lines, aligned columns, and JSON.
#pragma once
#include <concepts>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::sandbox_cli {

template <class T = void>
using Outcome = std::expected<T, std::string>;  // the error is one line, for people

using Row = std::vector<std::string>;

// The first row is the heading. Bytes that could steer a terminal are shown as '?'.
std::string table(const std::vector<Row>& rows);
std::string printable(std::string_view text);

void print(std::string_view text);     // to standard output
void complain(std::string_view text);  // "oqto-sandbox: TEXT" to standard error
// The same, and with `json` also {"error": TEXT} to standard output.
int refused(std::string_view text, bool json);
int wrong(std::string_view text);  // complain, and the exit status 2

// A JSON value that is already text. Keys keep their order; what is not UTF-8 becomes U+FFFD.
class Json {
 public:
  Json() : text_("null") {}
  Json(std::string_view text);
  Json(const std::string& text) : Json(std::string_view(text)) {}
  Json(const char* text) : Json(std::string_view(text)) {}
  Json(bool value) : text_(value ? "true" : "false") {}
  Json(std::integral auto value) : text_(std::to_string(value)) {}
  Json(const std::vector<std::string>& list);

  static Json object() { return raw("{}"); }
  static Json array() { return raw("[]"); }
  Json& set(std::string_view key, const Json& value);              // of an object
  Json& add(const Json& value);                                    // to an array
  [[nodiscard]] const std::string& text() const { return text_; }  // one line

 private:
  static Json raw(std::string text) {
    Json json;
    json.text_ = std::move(text);
    return json;
  }
  std::string text_;
};

}  // namespace oqto::sandbox_cli
