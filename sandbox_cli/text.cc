#include "sandbox_cli/text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "base/encoding.h"
#include "sandbox_cli/options.h"

namespace oqto::sandbox_cli {
namespace {

// The longest sequence at the front that is one UTF-8 character; 0 if there is none.
std::size_t character(std::string_view text) {
  constexpr std::size_t kLongest = 4;
  for (std::size_t n = 1; n <= std::min(kLongest, text.size()); ++n) {
    if (is_valid_utf8(text.substr(0, n))) return n;
  }
  return 0;
}

std::string json_string(std::string_view text) {
  std::string all = "\"";
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte == '"' || byte == '\\') {
      all += {'\\', text.front()};
    } else if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      (void)std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      all += escaped;
    } else {
      const std::size_t length = character(text);
      all += length == 0 ? std::string_view("\\ufffd") : text.substr(0, length);
      text.remove_prefix(std::max<std::size_t>(length, 1));
      continue;
    }
    text.remove_prefix(1);
  }
  return all + '"';
}

// Characters that are not seen, or that change the order in which others are: with them, a name
// looks like another one. Marks of direction, joiners, separators, tags, and the soft hyphen.
bool misleads(std::string_view one) {
  std::uint32_t code = static_cast<unsigned char>(one.front());
  if (one.size() < 2) return false;
  code &= 0x7fU >> one.size();
  for (const char c : one.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  constexpr struct {
    std::uint32_t first, last;
  } kRanges[] = {{0x80, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},    {0x61c, 0x61c},
                 {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},  {0x200b, 0x200f},
                 {0x2028, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},  {0xfe00, 0xfe0f},
                 {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
  return std::ranges::any_of(
      kRanges, [code](const auto& range) { return code >= range.first && code <= range.last; });
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.front());
    const std::size_t length = character(text);
    const bool plain = length > 1 ? !misleads(text.substr(0, length))
                                  : length == 1 && byte >= 0x20 && byte != 0x7f;
    if (plain)
      shown += text.substr(0, length);
    else
      shown += '?';
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return shown;
}

std::string table(const std::vector<Row>& rows) {
  constexpr std::size_t kGap = 2;
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += printable(row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + kGap, ' ');
    }
    text += '\n';
  }
  return text;
}

void print(std::string_view text) {
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  if (!text.ends_with('\n')) (void)std::fputc('\n', stdout);
  (void)std::fflush(stdout);
}

void complain(std::string_view text) {
  (void)std::fprintf(stderr, "%s: %s\n", kName, printable(text).c_str());
}

int wrong(std::string_view text) {
  complain(text);
  return 2;
}

int refused(std::string_view text, bool json) {
  if (json) print(Json::object().set("error", text).text());
  return wrong(text);
}

Json::Json(std::string_view text) : text_(json_string(text)) {}

Json::Json(const std::vector<std::string>& list) : text_("[]") {
  for (const std::string& item : list) add(item);
}

Json& Json::set(std::string_view key, const Json& value) {
  text_.pop_back();
  if (text_.size() > 1) text_ += ',';
  text_ += json_string(key) + ':' + value.text() + '}';
  return *this;
}

Json& Json::add(const Json& value) {
  text_.pop_back();
  if (text_.size() > 1) text_ += ',';
  text_ += value.text() + ']';
  return *this;
}

}  // namespace oqto::sandbox_cli
