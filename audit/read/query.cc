#include "audit/read/query.h"

#include <algorithm>

#include "audit/read/entry_reader.h"

namespace oqto::audit {
namespace {

using Texts = std::vector<std::string>;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_folded(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_one_of(const Texts& wanted, std::string_view value) {
  return !value.empty() && std::ranges::any_of(wanted, [&](std::string_view one) {
    return equal_folded(one, value);
  });
}

bool is_event(std::string_view pattern, std::string_view event) {
  if (!pattern.ends_with('*')) return pattern == event;
  return event.starts_with(pattern.substr(0, pattern.size() - 1));
}

// Such words stand in the entry as they are, but for those that were no UTF-8.
bool is_spelled_plainly(std::string_view word) {
  return std::ranges::all_of(word, [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
  });
}

bool may_hold(std::string_view entry, std::string_view text) {
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    if (is_spelled_plainly(word) && !contains_folded(entry, word)) return false;
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return true;
}

}  // namespace

bool contains_folded(std::string_view text, std::string_view part) {
  const auto found = std::ranges::search(text, part, {}, lower, lower);
  return part.empty() || !found.empty();
}

bool Query::selects_by_content() const {
  return from_ms > 0 || ~to_ms != 0 || !actors.empty() || !tenants.empty() || !sessions.empty() ||
         !classes.empty() || !events.empty() || !outcomes.empty() || !texts.empty();
}

// Most entries can be told apart without taking them apart.
bool Query::may_hold_texts(std::string_view entry) const {
  if (entry.find(R"({"base64":)") != entry.npos) return true;
  return std::ranges::all_of(texts, [&](const std::string& text) { return may_hold(entry, text); });
}

bool Query::matches_who(const ReadEntry& entry) const {
  if (!actors.empty() && !is_one_of(actors, entry.text("actor.username")) &&
      !is_one_of(actors, entry.text("actor.process"))) {
    return false;
  }
  constexpr std::string_view kTenant[] = {"actor.account", "actor.username", "fields.account",
                                          "fields.username"};
  if (!tenants.empty() && std::ranges::none_of(kTenant, [&](std::string_view path) {
        return is_one_of(tenants, entry.text(path));
      })) {
    return false;
  }
  const std::string own = entry.text("actor.session");
  const std::string concerned = entry.text("fields.session");
  return sessions.empty() || std::ranges::any_of(sessions, [&](const std::string& session) {
           return own.starts_with(session) || concerned.starts_with(session);
         });
}

bool Query::matches_what(const ReadEntry& entry) const {
  if (!classes.empty() &&
      std::ranges::find(classes, entry.number("class_uid")) == classes.end()) {
    return false;
  }
  const std::string event = entry.text("event");
  if (!events.empty() && std::ranges::none_of(events, [&](const std::string& pattern) {
        return is_event(pattern, event);
      })) {
    return false;
  }
  if (!outcomes.empty() && !is_one_of(outcomes, entry.text("outcome"))) return false;
  return std::ranges::all_of(texts, [&](const std::string& text) {
    return std::ranges::any_of(entry.members, [&](const JsonMember& member) {
      return any_text(member.value,
                      [&](const std::string& value) { return contains_folded(value, text); });
    });
  });
}

bool Query::matches(std::uint64_t index, std::string_view text) const {
  if (index < first || index > last) return false;
  if (!selects_by_content()) return true;
  if (!texts.empty() && !may_hold_texts(text)) return false;
  const auto entry = ReadEntry::parse(text);
  if (!entry) return false;
  const std::uint64_t time = entry->number("time");
  return time >= from_ms && time < to_ms && matches_who(*entry) && matches_what(*entry);
}

}  // namespace oqto::audit
