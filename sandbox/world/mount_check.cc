#include <charconv>

#include "sandbox/launch/launch_plan.h"
#include "sandbox/world/paths.h"

namespace oqto::sandbox {
namespace {

bool take_number(std::string_view& text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() + text.size() || *end != ' ') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

}  // namespace

std::string MountCheck::text() const {
  return std::string(read_only ? "r" : "") + (empty ? "e" : "") + ' ' + std::to_string(id.device) +
         ' ' + std::to_string(id.inode) + ' ' + path;
}

Result<MountCheck> MountCheck::parse(std::string_view text) {
  MountCheck check;
  const std::size_t flags = std::min(text.find(' '), text.size());
  check.read_only = text.substr(0, flags).find('r') != std::string_view::npos;
  check.empty = text.substr(0, flags).find('e') != std::string_view::npos;
  text.remove_prefix(std::min(flags + 1, text.size()));
  if (!take_number(text, check.id.device) || !take_number(text, check.id.inode) ||
      !is_normal_path(text)) {
    return fail(Errc::bad_message, "malformed mount check");
  }
  check.path = text;
  return check;
}

}  // namespace oqto::sandbox
