#include "protocol/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/encoding.h"

namespace oqto::protocol {
namespace {

std::string repaired(std::string_view text) {
  std::string good;
  while (!text.empty()) {
    std::size_t length = 1;
    while (length <= 4 && length <= text.size() && !is_valid_utf8(text.substr(0, length))) ++length;
    if (length <= 4 && length <= text.size()) {
      good += text.substr(0, length);
      text.remove_prefix(length);
    } else {
      good += "\xef\xbf\xbd";
      text.remove_prefix(1);
    }
  }
  return good;
}

void append_escaped(std::string& out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte == '\r') {
      out += "\\r";
    } else {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 0xf];
    }
  }
  out.append(text, plain);
}

}  // namespace

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  if (is_valid_utf8(text)) {
    append_escaped(out, text);
  } else {
    append_escaped(out, repaired(text));
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 40> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

std::string_view cut_text(std::string_view text, std::size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xc0) == 0x80) --max;
  return text.substr(0, max);
}

std::string_view cut_text_at_end(std::string_view piece, bool last) {
  if (last) return piece;
  std::size_t begins = piece.size();
  for (std::size_t back = 1; back <= 3 && back <= piece.size(); ++back) {
    const auto byte = static_cast<unsigned char>(piece[piece.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if (length > back) begins = piece.size() - back;
    break;
  }
  return begins == 0 ? piece : piece.substr(0, begins);
}

void JsonObject::key(std::string_view name) {
  if (!members_.empty()) members_ += ',';
  append_json_text(members_, name);
  members_ += ':';
}

JsonObject& JsonObject::text(std::string_view name, std::string_view value) {
  key(name);
  append_json_text(members_, value);
  return *this;
}

JsonObject& JsonObject::boolean(std::string_view name, bool value) {
  return json(name, value ? "true" : "false");
}

JsonObject& JsonObject::real(std::string_view name, double value) {
  key(name);
  append_json_number(members_, value);
  return *this;
}

JsonObject& JsonObject::json(std::string_view name, std::string_view value) {
  key(name);
  members_ += value;
  return *this;
}

JsonObject& JsonObject::append(std::string_view members) {
  if (members.empty()) return *this;
  if (!members_.empty()) members_ += ',';
  members_ += members;
  return *this;
}

JsonArray& JsonArray::json(std::string_view value) {
  if (!items_.empty()) items_ += ',';
  items_ += value;
  return *this;
}

JsonArray& JsonArray::text(std::string_view value) {
  if (!items_.empty()) items_ += ',';
  append_json_text(items_, value);
  return *this;
}

}  // namespace oqto::protocol
