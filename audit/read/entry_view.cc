#include "audit/read/entry_view.h"

#include <algorithm>
#include <charconv>

#include "audit/format/json.h"
#include "audit/format/time_text.h"

namespace oqto::audit {
namespace {

using Members = std::vector<JsonMember>;

constexpr std::size_t kMaxShown = 160;  // bytes of one value in a line

std::string_view value_of(const Members& members, std::string_view key) {
  const auto found = std::ranges::find(members, key, &JsonMember::key);
  return found == members.end() ? std::string_view() : found->value;
}

// Without quotes where nothing can be misread; the text is escaped already.
std::string_view plain(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return value;
  const std::string_view inside = value.substr(1, value.size() - 2);
  return inside.empty() || inside.find_first_of(" \\=\"") != inside.npos ? value : inside;
}

std::string shorten(std::string_view value) {
  if (value.size() <= kMaxShown) return std::string(value);
  std::size_t end = kMaxShown;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return std::string(value.substr(0, end)) + "…";
}

std::string utc(std::string_view milliseconds) {
  std::uint64_t ms = 0;
  (void)std::from_chars(milliseconds.data(), milliseconds.data() + milliseconds.size(), ms);
  return utc_text(ms);
}

std::string who(const Members& actor) {
  std::string text;
  if (const auto username = value_of(actor, "username"); !username.empty()) {
    text += std::string(plain(username)) + "(" + std::string(value_of(actor, "account")) + ") ";
  }
  return text + std::string(plain(value_of(actor, "process")));
}

// Who, what and where of the entry that this one belongs to, as far as it does not say so itself.
std::string facts_of(std::string_view related, const Members& fields) {
  constexpr std::string_view kFacts[] = {"username", "account", "session", "command", "tool",
                                         "process",  "host",    "port",    "provider", "model"};
  const auto members = json_members(related);
  const auto theirs = members ? json_members(value_of(*members, "fields")) : std::nullopt;
  if (!theirs) return {};
  std::string text;
  for (const std::string_view fact : kFacts) {
    const std::string_view value = value_of(*theirs, fact);
    if (value.empty() || !value_of(fields, fact).empty()) continue;
    ((text += text.empty() ? "" : " ") += fact) += "=" + shorten(plain(value));
  }
  return text.empty() ? "" : "  [" + text + "]";
}

std::string malformed(std::string_view entry) {
  std::string text = R"({"malformed":)";
  append_json(text, entry);
  return text + "}";
}

}  // namespace

std::string entry_json(std::string_view entry) {
  return json_members(entry) ? std::string(entry) : malformed(entry);
}

std::string entry_line(std::string_view entry, std::string_view related) {
  const auto members = json_members(entry);
  const auto actor = members ? json_members(value_of(*members, "actor")) : std::nullopt;
  const auto fields = members ? json_members(value_of(*members, "fields")) : std::nullopt;
  if (!actor || !fields) return shorten(malformed(entry));
  std::string line = utc(value_of(*members, "time"));
  if (const auto at = value_of(*fields, "at"); !at.empty()) {
    line += " (happened " + shorten(plain(at)) + ")";
  }
  line += "  #" + std::string(value_of(*members, "seq"));
  line += "  " + who(*actor);
  line += "  " + std::string(plain(value_of(*members, "event")));
  const std::string_view phase = plain(value_of(*members, "phase"));
  const std::string_view outcome = plain(value_of(*members, "outcome"));
  if (phase != "event") line += " " + std::string(phase);
  if (phase == "outcome") line += " of #" + std::string(value_of(*members, "intent"));
  if (outcome != "unknown") line += " " + std::string(outcome);
  if (const auto session = value_of(*actor, "session"); !session.empty()) {
    line += "  session=" + std::string(plain(session));
  }
  for (const JsonMember& field : *fields) {
    if (field.key == "at") continue;
    line += "  " + std::string(field.key) + "=" + shorten(plain(field.value));
  }
  // What open_entry() could not open, or what it was not asked to.
  const std::string_view sealed = value_of(*members, "sealed");
  if (!sealed.empty()) line += "  " + json_text(sealed).value_or("(sealed)");
  return line + facts_of(related, *fields);
}

std::string entry_page(std::string_view entry) {
  const auto members = json_members(entry);
  if (!members) return malformed(entry) + "\n";
  std::string page;
  const auto add = [&page](const std::string& name, std::string_view value) {
    page += name + std::string(name.size() < 24 ? 24 - name.size() : 1, ' ') + std::string(value) +
            "\n";
  };
  for (const JsonMember& member : *members) {
    const auto inner = json_members(member.value);
    if (!inner) {
      add(std::string(member.key), member.value);
    } else {
      for (const JsonMember& field : *inner) {
        add(std::string(member.key) + "." + std::string(field.key), field.value);
      }
    }
    if (member.key == "time") add("", utc(member.value));
  }
  return page;
}

}  // namespace oqto::audit
