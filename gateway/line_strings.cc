#include "gateway/line_strings.h"

#include <algorithm>

namespace oqto::gateway {
namespace {

constexpr std::size_t kMaxKey = 64;
constexpr std::size_t kMaxIndexes = 64;  // bytes

// The closing mark of a string whose content begins at `at`, or the end.
std::size_t string_end(std::string_view line, std::size_t at) {
  for (; at < line.size() && line[at] != '"'; ++at) {
    if (line[at] == '\\') ++at;
  }
  return std::min(at, line.size());
}

}  // namespace

void read_line(std::string_view line, LineFacts& facts) {
  facts.strings.clear();
  for (std::size_t at = line.find('"'); at < line.size(); at = line.find('"', at + 1)) {
    const std::size_t begin = at + 1;
    at = string_end(line, begin);
    const std::size_t next = line.find_first_not_of(" \t", at + 1);
    if (next == line.npos || line[next] != ':') {
      facts.strings.push_back({facts.last_key, begin, at});
      continue;
    }
    facts.last_key = line.substr(begin, std::min(at - begin, kMaxKey));
    if (facts.last_key != "index" || facts.indexes.size() > kMaxIndexes) continue;
    const std::size_t number = line.find_first_not_of(" \t", next + 1);
    if (number == line.npos) continue;
    facts.indexes += line.substr(number, line.find_first_not_of("0123456789", number) - number);
    facts.indexes += ',';
  }
}

}  // namespace oqto::gateway
