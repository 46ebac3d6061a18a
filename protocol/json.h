// A JSON value as a plain type, and a parser with bounds on depth and on the number of values, so
// that no text of a peer costs more than its own length. The last of two equal keys wins, and a lone
// surrogate becomes U+FFFD, both as in ECMAScript: our peers are browsers and Node.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace oqto::protocol {

struct JsonMember;

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>;
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object>;

  Json();
  explicit Json(Value value);
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  // Null when the value has another type.
  [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&value_); }
  [[nodiscard]] const Array* array() const { return std::get_if<Array>(&value_); }
  [[nodiscard]] const Object* object() const { return std::get_if<Object>(&value_); }
  [[nodiscard]] std::optional<bool> boolean() const;
  [[nodiscard]] std::optional<std::int64_t> integer() const;  // also 3.0
  [[nodiscard]] std::optional<double> number() const;
  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }

  // For peers that may leave out or mistype anything: a member, or what stands for its absence.
  [[nodiscard]] const Json* find(std::string_view key) const;
  [[nodiscard]] std::string_view text_at(std::string_view key) const;
  [[nodiscard]] std::int64_t integer_at(std::string_view key, std::int64_t otherwise = 0) const;
  [[nodiscard]] bool boolean_at(std::string_view key, bool otherwise = false) const;

  [[nodiscard]] std::string dump() const;
  Value& value() { return value_; }

 private:
  void dump_to(std::string& out) const;
  Value value_;
};

struct JsonMember {
  std::string key;
  Json value;
};

// Here, where a member is a complete type.
inline Json::Json() = default;
inline Json::Json(Value value) : value_(std::move(value)) {}
inline Json::Json(const Json& other) = default;
inline Json::Json(Json&& other) noexcept = default;
inline Json& Json::operator=(const Json& other) = default;
inline Json& Json::operator=(Json&& other) noexcept = default;
inline Json::~Json() = default;

struct JsonLimits {
  std::size_t depth = 64;
  std::size_t values = 200'000;
  // A container that lies deeper than `depth` becomes a text that holds its JSON; else it is an error.
  bool deep_as_text = false;
  // Half of a surrogate pair becomes the private code point 0x100000 + half, so that who joins texts can
  // put a pair together (protocol/surrogates.h); else U+FFFD.
  bool keep_halves = false;
};

Result<Json> parse_json(std::string_view text, JsonLimits limits = {});

}  // namespace oqto::protocol
