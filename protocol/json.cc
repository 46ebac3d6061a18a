#include "protocol/json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "protocol/json_writer.h"

namespace oqto::protocol {
namespace {

// The JSON text of a container that is too deep to become a value, written as the parser reads it.
class DeepText {
 public:
  [[nodiscard]] bool active() const { return depth_ > 0; }
  void open(char bracket) {
    separate();
    text_ += bracket;
    first_ = true;
    ++depth_;
  }
  // True: that was the outermost one, and text() is all of it.
  bool close(char bracket) {
    text_ += bracket;
    first_ = false;
    return --depth_ == 0;
  }
  void key(const std::string& name) {
    separate();
    append_json_text(text_, name);
    text_ += ':';
    after_key_ = true;
  }
  void value(const Json& json) {
    separate();
    text_ += json.dump();
  }
  std::string take() { return std::exchange(text_, {}); }

 private:
  void separate() {
    if (!first_ && !after_key_ && !text_.empty()) text_ += ',';
    first_ = after_key_ = false;
  }
  std::string text_;
  std::size_t depth_ = 0;
  bool first_ = false;
  bool after_key_ = false;
};

// Builds the value from the parser's events; saying false stops the parser.
class Builder {
 public:
  explicit Builder(JsonLimits limits) : limits_(limits) {}
  Json take() { return std::move(root_); }
  [[nodiscard]] bool over_limit() const { return over_limit_; }

  bool null() { return put(Json()) != nullptr; }
  bool boolean(bool value) { return put(Json(Json::Value(value))) != nullptr; }
  bool number_integer(std::int64_t value) { return put(Json(Json::Value(value))) != nullptr; }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) {
      return number_float(static_cast<double>(value), {});
    }
    return number_integer(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string&) {
    return put(Json(Json::Value(value))) != nullptr;
  }
  bool string(std::string& value) { return put(Json(Json::Value(std::move(value)))) != nullptr; }
  bool binary(std::vector<std::uint8_t>&) { return false; }
  bool key(std::string& name) {
    if (deep_.active()) {
      deep_.key(name);
    } else {
      key_ = std::move(name);
    }
    return true;
  }
  bool start_object(std::size_t) { return open(Json(Json::Value(Json::Object())), '{'); }
  bool start_array(std::size_t) { return open(Json(Json::Value(Json::Array())), '['); }
  bool end_object() { return close('}'); }
  bool end_array() { return close(']'); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) {
    return false;
  }

 private:
  Json* put(Json value) {
    if (deep_.active()) {
      deep_.value(value);
      return &root_;
    }
    if (++count_ > limits_.values) {
      over_limit_ = true;
      return nullptr;
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json::Value& parent = open_.back()->value();
    if (auto* array = std::get_if<Json::Array>(&parent)) return &array->emplace_back(std::move(value));
    return &std::get<Json::Object>(parent).emplace_back(std::move(key_), std::move(value)).value;
  }
  bool open(Json value, char bracket) {
    if (deep_.active() || (limits_.deep_as_text && open_.size() >= limits_.depth)) {
      deep_.open(bracket);
      return true;
    }
    if (open_.size() >= limits_.depth) {
      over_limit_ = true;
      return false;
    }
    Json* placed = put(std::move(value));
    if (placed == nullptr) return false;
    open_.push_back(placed);
    return true;
  }
  bool close(char bracket) {
    if (!deep_.active()) {
      open_.pop_back();
      return true;
    }
    if (!deep_.close(bracket)) return true;
    return put(Json(Json::Value(deep_.take()))) != nullptr;
  }

  JsonLimits limits_;
  DeepText deep_;
  Json root_;
  std::vector<Json*> open_;  // an open container is the last of its parent: it does not move
  std::string key_;
  std::size_t count_ = 0;
  bool over_limit_ = false;
};

std::optional<unsigned> unicode_escape(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return std::nullopt;
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data() + at + 2, text.data() + at + 6, value, 16);
  if (parsed.ptr != text.data() + at + 6) return std::nullopt;
  return value;
}

// The escapes of a code point of plane 16 that stands for half a pair.
std::string kept_half(unsigned half) {
  const unsigned offset = 0xf0000 + half;  // of 0x100000 + half above 0x10000
  std::array<char, 24> escapes{};
  (void)std::snprintf(escapes.data(), escapes.size(), "\\u%04x\\u%04x", 0xd800 + (offset >> 10),
                      0xdc00 + (offset & 0x3ff));
  return escapes.data();
}

// JSON.stringify writes half of a surrogate pair as an escape (a stream cut inside a character does
// that); the parser would refuse the whole text for it.
std::string without_lone_surrogates(std::string_view text, bool keep_halves) {
  std::string fixed;
  fixed.reserve(text.size() + 64);
  std::size_t taken = 0;  // of `text`
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') continue;
    const auto unit = unicode_escape(text, i);
    if (!unit) {
      ++i;  // the escaped character
      continue;
    }
    const auto next = unicode_escape(text, i + 6);
    const bool high = *unit >= 0xd800 && *unit < 0xdc00;
    const bool low = *unit >= 0xdc00 && *unit < 0xe000;
    if (high && next && *next >= 0xdc00 && *next < 0xe000) {
      i += 11;
      continue;
    }
    if (high || low) {
      fixed.append(text, taken, i - taken);
      fixed += keep_halves ? kept_half(*unit) : "\\ufffd";
      taken = i + 6;
    }
    i += 5;
  }
  return fixed.append(text, taken);
}

}  // namespace

Result<Json> parse_json(std::string_view text, JsonLimits limits) {
  std::string fixed;
  if (text.find("\\ud") != std::string_view::npos || text.find("\\uD") != std::string_view::npos) {
    fixed = without_lone_surrogates(text, limits.keep_halves);
    text = fixed;
  }
  Builder builder(limits);
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) return builder.take();
  if (builder.over_limit()) return fail(Errc::limit, "the JSON is nested too deeply or too large");
  return fail(Errc::bad_message, "this is not valid JSON");
}

std::optional<bool> Json::boolean() const {
  const auto* value = std::get_if<bool>(&value_);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::optional<std::int64_t> Json::integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  const auto* real = std::get_if<double>(&value_);
  constexpr double kExact = 9007199254740992.0;
  if (real == nullptr || std::trunc(*real) != *real || std::abs(*real) > kExact) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

std::optional<double> Json::number() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  const auto* real = std::get_if<double>(&value_);
  return real == nullptr ? std::nullopt : std::optional(*real);
}

const Json* Json::find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  for (auto member = members->rbegin(); member != members->rend(); ++member) {
    if (member->key == key) return &member->value;
  }
  return nullptr;
}

std::string_view Json::text_at(std::string_view key) const {
  const Json* value = find(key);
  const std::string* text = value == nullptr ? nullptr : value->text();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

std::int64_t Json::integer_at(std::string_view key, std::int64_t otherwise) const {
  const Json* value = find(key);
  return value == nullptr ? otherwise : value->integer().value_or(otherwise);
}

bool Json::boolean_at(std::string_view key, bool otherwise) const {
  const Json* value = find(key);
  return value == nullptr ? otherwise : value->boolean().value_or(otherwise);
}

std::string Json::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

// Recursion is bounded by the depth that the parser allowed.
void Json::dump_to(std::string& out) const {
  if (is_null()) {
    out += "null";
  } else if (const auto flag = boolean()) {
    out += *flag ? "true" : "false";
  } else if (const auto* whole = std::get_if<std::int64_t>(&value_)) {
    out += std::to_string(*whole);
  } else if (const auto* real = std::get_if<double>(&value_)) {
    append_json_number(out, *real);
  } else if (const std::string* string = text()) {
    append_json_text(out, *string);
  } else if (const Array* items = array()) {
    out += '[';
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (i != 0) out += ',';
      (*items)[i].dump_to(out);
    }
    out += ']';
  } else if (const Object* members = object()) {
    out += '{';
    for (std::size_t i = 0; i < members->size(); ++i) {
      if (i != 0) out += ',';
      append_json_text(out, (*members)[i].key);
      out += ':';
      (*members)[i].value.dump_to(out);
    }
    out += '}';
  }
}

}  // namespace oqto::protocol
