#include "audit/read/query.h"

#include <algorithm>
#include <array>

#include "audit/format/time_text.h"
#include "audit/read/entry_reader.h"
#include "base/nearest_word.h"
#include "ipc/audit.h"

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

// Whom others are concerned by is not for a tenant's process to say.
std::span<const std::string_view> tenant_paths(const ReadEntry& entry) {
  static constexpr std::string_view kPaths[] = {"actor.account", "actor.username", "fields.account",
                                                "fields.username"};
  return std::span(kPaths).first(entry.raw("actor.account").empty() ? 4 : 2);
}

std::span<const std::string_view> session_paths() {
  static constexpr std::string_view kPaths[] = {"actor.session", "fields.session"};
  return kPaths;
}

// Where a process of the host writes down what a person does with it, the person acts.
std::vector<std::string_view> actor_paths(const ReadEntry& entry) {
  constexpr auto kThroughTheHost = std::to_array<std::string_view>(
      {"login", "login.throttled", "logout", "connection", "setup", "account.create", "invite.create",
       "invite.revoke", "audit.read"});
  std::vector<std::string_view> paths{"actor.username", "actor.account", "actor.process"};
  const bool by_host = entry.raw("actor.account").empty();
  if (by_host && std::ranges::find(kThroughTheHost, entry.text("event")) != kThroughTheHost.end()) {
    paths.insert(paths.end(), {"fields.username", "fields.account"});
  }
  return paths;
}

std::optional<std::uint64_t> happened_ms(const ReadEntry& entry) {
  const std::string said = entry.text("fields.at");
  std::string_view at = said;
  if (at.ends_with(kClaimed)) at.remove_suffix(kClaimed.size());
  const auto happened = at.empty() ? std::nullopt : parse_time(at, 0);
  if (!happened || entry.raw("actor.account").empty()) return happened;
  const std::uint64_t time = entry.number("time");
  const bool is_possible = *happened + kMaxClaimedLateMs >= time && *happened <= time + kMaxClaimedEarlyMs;
  return is_possible ? happened : std::nullopt;
}

bool Query::matches_when(const ReadEntry& entry) const {
  const auto is_within = [this](std::uint64_t time) { return time >= from_ms && time < to_ms; };
  if (is_within(entry.number("time"))) return true;
  const auto happened = happened_ms(entry);
  return happened && is_within(*happened);
}

bool Query::matches_who(const ReadEntry& entry, const ReadEntry* related) const {
  const auto says = [&](const ReadEntry* one, auto&& paths, auto&& fits) {
    return one != nullptr && std::ranges::any_of(paths, [&](std::string_view path) {
             return fits(one->text(path));
           });
  };
  const auto either = [&](auto&& paths_of, auto&& fits) {
    return says(&entry, paths_of(entry), fits) ||
           (related != nullptr && says(related, paths_of(*related), fits));
  };
  const auto is_actor = [&](const std::string& text) { return is_one_of(actors, text); };
  if (!actors.empty() && !either(actor_paths, is_actor)) return false;
  const auto is_tenant = [&](const std::string& text) { return is_one_of(tenants, text); };
  if (!tenants.empty() && !either(tenant_paths, is_tenant)) {
    return false;
  }
  const auto is_session = [&](const std::string& text) {
    return std::ranges::any_of(sessions, [&](const auto& one) { return text.starts_with(one); });
  };
  return sessions.empty() || either([](const ReadEntry&) { return session_paths(); }, is_session);
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
  return outcomes.empty() || is_one_of(outcomes, entry.text("outcome"));
}

bool Query::matches_texts(const ReadEntry& entry, const ReadEntry* related) const {
  const auto holds = [](const ReadEntry& one, const std::string& text) {
    return std::ranges::any_of(one.members, [&](const JsonMember& member) {
      return any_text(member.value,
                      [&](const std::string& value) { return contains_folded(value, text); });
    });
  };
  return std::ranges::all_of(texts, [&](const std::string& text) {
    return holds(entry, text) || (related != nullptr && holds(*related, text));
  });
}

bool Query::matches(std::uint64_t index, std::string_view text, std::string_view related) const {
  if (index < first || index > last) return false;
  if (!selects_by_content()) return true;
  if (!texts.empty() && related.empty() && !may_hold_texts(text)) return false;
  const auto entry = ReadEntry::parse(text);
  if (!entry) return false;
  const auto belongs = related.empty() ? std::nullopt : ReadEntry::parse(related);
  const ReadEntry* other = belongs ? &*belongs : nullptr;
  return matches_when(*entry) && matches_who(*entry, other) && matches_what(*entry) &&
         matches_texts(*entry, other);
}

std::string Query::text() const {
  std::string all;
  const auto add = [&all](std::string_view name, const std::string& value) {
    ((all += all.empty() ? "" : ", ") += name) += ' ' + value;
  };
  const auto add_list = [&](std::string_view name, const Texts& values) {
    std::string list;
    for (const std::string& value : values) (list += list.empty() ? "" : " or ") += value;
    if (!list.empty()) add(name, list);
  };
  if (first > 0 || ~last != 0) {
    add("range", std::to_string(first) + ".." + (~last == 0 ? "" : std::to_string(last)));
  }
  if (from_ms > 0) add("from", utc_text(from_ms));
  if (~to_ms != 0) add("to", utc_text(to_ms));
  Texts uids;
  for (const std::uint64_t uid : classes) uids.push_back(std::to_string(uid));
  add_list("class", uids);
  add_list("event", events);
  add_list("outcome", outcomes);
  add_list("actor", actors);
  add_list("tenant", tenants);
  add_list("session", sessions);
  for (const std::string& one : texts) add("text", one);
  return all;
}

std::optional<std::string> event_problem(std::string_view pattern) {
  std::vector<std::string_view> known;
  for (std::size_t i = 0; i < static_cast<std::size_t>(ipc::Event::kEnd); ++i) {
    known.push_back(ipc::event_name(static_cast<ipc::Event>(i)));
  }
  const auto fits = [&](std::string_view event) { return is_event(pattern, event); };
  if (std::ranges::any_of(known, fits)) return std::nullopt;
  std::string problem = "there is no event " + std::string(pattern);
  const bool is_family = pattern.ends_with(".*");
  std::vector<std::string_view> families;
  for (const std::string_view event : known) families.push_back(event.substr(0, event.find('.')));
  const std::string_view near = is_family ? nearest_word(pattern.substr(0, pattern.size() - 2), families)
                                          : nearest_word(pattern, known);
  if (!near.empty()) return problem + ": did you mean " + std::string(near) + (is_family ? "*?" : "?");
  for (const std::string_view event : known) {
    if (!pattern.empty() && event.find(pattern.substr(0, pattern.find('*'))) != event.npos) {
      return problem + ": did you mean " + std::string(event) + "?";
    }
  }
  return problem + ": docs/audit-events.md has them all";
}

std::optional<std::string> plain_session(std::string_view text) {
  constexpr std::string_view kPrefix = "oqto-";
  constexpr std::size_t kUuid = 36;
  std::string id(text.starts_with(kPrefix) ? text.substr(kPrefix.size()) : text);
  std::ranges::transform(id, id.begin(), lower);
  if (id.empty() || id.size() > kUuid || id.find_first_not_of("0123456789abcdef-") != id.npos) {
    return std::nullopt;
  }
  return id;
}

}  // namespace oqto::audit
