#include "base/uid_owners.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/sys.h"

namespace oqto {
namespace {

constexpr std::size_t kMaxFile = std::size_t{64} << 20;

struct Range {
  std::uint64_t first, last;
  [[nodiscard]] bool meets(const Range& other) const {
    return first <= other.last && other.first <= last;
  }
};

// Given out by systemd while it runs (homed, dynamic users), and by the kernel for what has no uid
// here.
constexpr Range kNobodys{60'001, 65'535};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// NAME:PASSWORD:NUMBER:… of passwd and group, or NAME:FIRST:COUNT of subuid and subgid.
std::optional<Range> range_of(std::string_view line, bool is_subordinate) {
  std::array<std::string_view, 3> field;
  for (std::string_view& each : field) {
    const std::size_t end = std::min(line.find(':'), line.size());
    each = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  const auto third = number(field[2]);
  if (!third) return std::nullopt;
  if (!is_subordinate) return Range{*third, *third};
  const auto first = number(field[1]);
  if (!first || *third == 0) return std::nullopt;
  return Range{*first, *first + *third - 1};
}

std::string text_of(const Range& range) {
  return range.first == range.last
             ? std::to_string(range.first)
             : std::to_string(range.first) + " to " + std::to_string(range.last);
}

std::string owner_in(const std::string& path, bool is_subordinate, const Range& wanted) {
  const auto file = sys::open_file(path.c_str(), O_RDONLY);
  if (!file && file.error().sys == ENOENT) return {};
  const auto text =
      file ? sys::read_all(*file, kMaxFile) : Result<std::string>(std::unexpected(file.error()));
  if (!text) return path + " cannot be read, so that nobody knows whose these uids are";
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    const auto range = range_of(line, is_subordinate);
    if (range && range->meets(wanted)) {
      return path + " gives " + text_of(*range) + " to " +
             std::string(line.substr(0, line.find(':')));
    }
  }
  return {};
}

}  // namespace

std::string owner_of_uids(const std::string& etc, std::uint64_t first, std::uint64_t count) {
  const Range wanted{first, first + count - 1};
  if (wanted.meets(kNobodys)) {
    return text_of(kNobodys) + " are systemd's (homed, dynamic users) and nobody's";
  }
  for (const char* name : {"/passwd", "/group", "/subuid", "/subgid"}) {
    const std::string path = etc + name;
    std::string owner = owner_in(path, path.ends_with("uid") || path.ends_with("gid"), wanted);
    if (!owner.empty()) return owner;
  }
  return {};
}

}  // namespace oqto
