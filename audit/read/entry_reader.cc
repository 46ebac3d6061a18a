#include "audit/read/entry_reader.h"

#include <string.h>

#include <algorithm>
#include <charconv>

#include "audit/format/hash.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

std::string_view value_of(const std::vector<JsonMember>& members, std::string_view key) {
  const auto found = std::ranges::find(members, key, &JsonMember::key);
  return found == members.end() ? std::string_view() : found->value;
}

std::optional<std::string> decoded(const std::vector<JsonMember>& members) {
  const auto text = json_text(value_of(members, "base64"));
  const auto bytes = members.size() == 1 && text ? from_base64(*text) : std::nullopt;
  if (!bytes) return std::nullopt;
  return std::string(as_text(*bytes));
}

}  // namespace

std::optional<ReadEntry> ReadEntry::parse(std::string_view entry) {
  auto members = json_members(entry);
  if (!members) return std::nullopt;
  auto actor = json_members(value_of(*members, "actor"));
  auto fields = json_members(value_of(*members, "fields"));
  if (!actor || !fields) return std::nullopt;
  return ReadEntry{std::move(*members), std::move(*actor), std::move(*fields)};
}

std::string_view ReadEntry::raw(std::string_view path) const {
  if (path.starts_with("actor.")) return value_of(actor, path.substr(6));
  if (path.starts_with("fields.")) return value_of(fields, path.substr(7));
  return value_of(members, path);
}

std::string ReadEntry::text(std::string_view path) const {
  return value_text(raw(path));
}

std::uint64_t ReadEntry::number(std::string_view path) const {
  const std::string content = text(path);  // fields spell their numbers as strings
  std::uint64_t value = 0;
  const char* end = content.data() + content.size();
  const auto result = std::from_chars(content.data(), end, value);
  return result.ec == std::errc{} && result.ptr == end ? value : 0;
}

std::string_view event_of(std::string_view entry) {
  constexpr std::size_t kHead = 512;
  constexpr std::string_view kEvent = R"(,"event":")";
  const std::string_view head = entry.substr(0, kHead);
  const void* found = ::memmem(head.data(), head.size(), kEvent.data(), kEvent.size());
  if (found == nullptr) return {};
  const std::string_view rest =
      head.substr(static_cast<std::size_t>(static_cast<const char*>(found) - head.data()) + kEvent.size());
  return rest.substr(0, rest.find('"'));
}

std::string value_text(std::string_view value) {
  if (value.starts_with('"')) return json_text(value).value_or(std::string(value));
  if (value.starts_with('[')) {
    std::string all;
    for (const std::string_view item : json_items(value).value_or(std::vector<std::string_view>())) {
      if (!all.empty()) all += ' ';
      all += value_text(item);
    }
    return all;
  }
  const auto members = json_members(value);
  if (!members) return std::string(value);
  if (auto bytes = decoded(*members)) return std::move(*bytes);
  if (const auto cut = value_of(*members, "cut"); !cut.empty()) return value_text(cut);
  return std::string(value);
}

bool any_text(std::string_view value, const std::function<bool(const std::string&)>& visit) {
  if (const auto items = json_items(value)) {
    return std::ranges::any_of(*items, [&](auto item) { return any_text(item, visit); }) ||
           visit(value_text(value));
  }
  if (const auto members = json_members(value)) {
    if (const auto bytes = decoded(*members)) return visit(*bytes);
    return std::ranges::any_of(*members,
                               [&](const JsonMember& m) { return any_text(m.value, visit); });
  }
  return visit(json_text(value).value_or(std::string(value)));
}

}  // namespace oqto::audit
