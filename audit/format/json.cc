#include "audit/format/json.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "audit/format/hash.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr int kMaxDepth = 6;

struct Range {
  std::uint32_t first, last;
};
// Controls, and the characters that reorder, hide or break text: Unicode's Cc, Zl, Zp, and those of
// Cf and Default_Ignorable that have been used to deceive.
constexpr Range kEscaped[] = {
    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},   {0x115f, 0x1160},
    {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
    {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xffff}, {0xe0000, 0xe0fff}};

bool is_escaped(std::uint32_t point) {
  return std::ranges::any_of(
      kEscaped, [point](Range range) { return range.first <= point && point <= range.last; });
}

// The code point at text[i] of valid UTF-8; moves i behind it.
std::uint32_t next_point(std::string_view text, std::size_t& i) {
  const auto byte = [&](std::size_t at) -> std::uint32_t {
    return static_cast<unsigned char>(text[at]);
  };
  const std::uint32_t lead = byte(i++);
  if (lead < 0x80) return lead;
  const int extra = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  std::uint32_t point = lead & (0x3fU >> extra);
  for (int k = 0; k < extra; ++k) point = point << 6 | (byte(i++) & 0x3f);
  return point;
}

void append_unit(std::string& out, std::uint32_t unit) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[unit >> shift & 15];
}

void append_escape(std::string& out, std::uint32_t point) {
  if (point < 0x10000) return append_unit(out, point);
  append_unit(out, 0xd800 + ((point - 0x10000) >> 10));
  append_unit(out, 0xdc00 + ((point - 0x10000) & 0x3ff));
}

constexpr auto kPlain = [] {
  std::array<bool, 256> plain{};
  for (unsigned char c = ' '; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();
bool is_plain(char c) {
  return kPlain[static_cast<unsigned char>(c)];
}

void append_escaped(std::string& out, std::string_view utf8) {
  for (std::size_t i = 0; i < utf8.size();) {
    std::size_t start = i;
    while (i < utf8.size() && is_plain(utf8[i])) ++i;
    out += utf8.substr(start, i - start);
    if (i == utf8.size()) return;
    start = i;
    const std::uint32_t point = next_point(utf8, i);
    if (is_escaped(point)) {
      append_escape(out, point);
    } else {
      if (point == '"' || point == '\\') out += '\\';
      out += utf8.substr(start, i - start);
    }
  }
}

void append_point(std::string& out, std::uint32_t point) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) return put(point);
  if (point < 0x800) {
    put(0xc0 | point >> 6);
  } else {
    if (point < 0x10000) {
      put(0xe0 | point >> 12);
    } else {
      put(0xf0 | point >> 18);
      put(0x80 | (point >> 12 & 0x3f));
    }
    put(0x80 | (point >> 6 & 0x3f));
  }
  put(0x80 | (point & 0x3f));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool object(std::vector<JsonMember>* members, int depth) {
    if (depth > kMaxDepth || !take('{')) return false;
    if (take('}')) return true;
    std::vector<std::string_view> keys;
    keys.reserve(16);
    do {
      const std::size_t start = at_;
      if (!string() || !take(':')) return false;
      const std::string_view key = text_.substr(start + 1, at_ - start - 3);
      if (!std::ranges::all_of(key, is_plain) || std::ranges::find(keys, key) != keys.end())
        return false;
      keys.push_back(key);
      const std::size_t value = at_;
      if (!any(depth + 1)) return false;
      if (members != nullptr) members->push_back({key, text_.substr(value, at_ - value)});
    } while (take(','));
    return take('}');
  }
  bool array(std::vector<std::string_view>* items, int depth) {
    if (depth > kMaxDepth || !take('[')) return false;
    if (take(']')) return true;
    do {
      const std::size_t start = at_;
      if (!any(depth + 1)) return false;
      if (items != nullptr) items->push_back(text_.substr(start, at_ - start));
    } while (take(','));
    return take(']');
  }
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }

 private:
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool any(int depth) {
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{':
        return object(nullptr, depth);
      case '[':
        return array(nullptr, depth);
      case '"':
        return string();
      case 't':
        return literal("true");
      case 'f':
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return number();
    }
  }
  bool literal(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool number() {
    const bool negative = take('-');
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    const std::size_t digits = at_ - start;
    return digits > 0 && digits <= 20 && (text_[start] != '0' || (digits == 1 && !negative));
  }
  bool string() {
    const std::size_t start = at_;
    if (!take('"')) return false;
    while (at_ < text_.size() && is_plain(text_[at_])) ++at_;
    if (take('"')) return true;  // nothing in it that has two spellings
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2U : 1U;
    return take('"') && json_text(text_.substr(start, at_ - start)).has_value();
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<std::uint32_t> read_unit(std::string_view& rest) {
  if (rest.size() < 6 || !rest.starts_with("\\u")) return std::nullopt;
  std::uint32_t unit = 0;
  for (const char c : rest.substr(2, 4)) {
    const std::size_t digit = kHex.find(c);
    if (digit == kHex.npos) return std::nullopt;
    unit = unit << 4 | static_cast<std::uint32_t>(digit);
  }
  rest.remove_prefix(6);
  return unit;
}

// One escape sequence at the start of `rest`.
bool unescape(std::string& out, std::string_view& rest) {
  if (rest.size() >= 2 && (rest[1] == '"' || rest[1] == '\\')) {
    out += rest[1];
    rest.remove_prefix(2);
    return true;
  }
  const auto unit = read_unit(rest);
  if (!unit) return false;
  std::uint32_t point = *unit;
  if (point >= 0xd800 && point < 0xdc00) {
    const auto low = read_unit(rest);
    if (!low || *low < 0xdc00 || *low > 0xdfff) return false;
    point = 0x10000 + ((point - 0xd800) << 10) + (*low - 0xdc00);
  }
  append_point(out, point);
  return true;
}

}  // namespace

void append_json(std::string& out, std::string_view value) {
  if (std::ranges::all_of(value, is_plain)) {
    ((out += '"') += value) += '"';
  } else if (is_valid_utf8(value)) {
    out += '"';
    append_escaped(out, value);
    out += '"';
  } else {
    out += R"({"base64":")";
    out += to_base64(as_bytes(value));
    out += R"("})";
  }
}

std::size_t json_size(std::string_view value) {
  if (std::ranges::all_of(value, is_plain)) return value.size() + 2;
  std::string out;
  append_json(out, value);
  return out.size();
}

std::string printable(std::string_view value) {
  std::string out;
  if (is_valid_utf8(value)) {
    append_escaped(out, value);
    return out;
  }
  for (const char c : value) {
    if (is_plain(c)) {
      out += c;
    } else {
      out += "\\x";
      out += to_hex(as_bytes(std::string_view(&c, 1)));
    }
  }
  return out;
}

std::optional<std::vector<JsonMember>> json_members(std::string_view text) {
  std::vector<JsonMember> members;
  Reader reader(text);
  if (!reader.object(&members, 0) || !reader.at_end()) return std::nullopt;
  return members;
}

std::optional<std::vector<std::string_view>> json_items(std::string_view text) {
  std::vector<std::string_view> items;
  Reader reader(text);
  if (!reader.array(&items, 0) || !reader.at_end()) return std::nullopt;
  return items;
}

bool is_canonical_object(std::string_view text) {
  Reader reader(text);
  return reader.object(nullptr, 0) && reader.at_end();
}

std::optional<std::string> json_text(std::string_view value) {
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return std::nullopt;
  std::string_view rest = value.substr(1, value.size() - 2);
  std::string content;
  while (!rest.empty()) {
    const std::size_t plain = std::min(rest.find('\\'), rest.size());
    content += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (!rest.empty() && !unescape(content, rest)) return std::nullopt;
  }
  std::string again;
  append_json(again, content);
  if (again != value) return std::nullopt;  // an escape too many or too few
  return content;
}

}  // namespace oqto::audit
