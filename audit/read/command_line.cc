#include "audit/read/command_line.h"

#include <algorithm>

#include "audit/format/json.h"
#include "audit/read/entry_reader.h"

namespace oqto::audit {
namespace {

bool is_plain(std::string_view word) {
  return !word.empty() && std::ranges::all_of(word, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("%+,-./:=@_").find(c) != std::string_view::npos ||
           static_cast<unsigned char>(c) >= 0x80;
  });
}

}  // namespace

std::string command_line(std::string_view value) {
  const auto items = json_items(value);
  if (!items) return value_text(value);
  std::string line;
  for (const std::string_view item : *items) {
    const std::string word = value_text(item);
    if (!line.empty()) line += ' ';
    if (is_plain(word)) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace oqto::audit
