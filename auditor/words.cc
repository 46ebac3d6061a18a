#include "auditor/words.h"

#include <algorithm>
#include <array>
#include <vector>

#include "audit/read/query.h"

namespace oqto::auditor {
namespace {

// What a key word says; part of what the index file holds.
enum class Key : char {
  actor = 'a',
  tenant = 't',
  session = 's',
  event = 'e',
  outcome = 'o',
  ocsf_class = 'c',
  intent = 'i',
  terminal = 'r',
  sealed = 'z',
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_word_byte(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

// Letters and digits alone, so that no tokenizer cuts it: others, and `q`, as q and two hex digits.
std::string key_word(Key key, std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string word{'x', static_cast<char>(key)};
  for (const char c : value) {
    const char small = lower(c);
    const auto byte = static_cast<unsigned char>(small);
    if (byte < 0x80 && is_word_byte(byte) && small != 'q') {
      word += small;
    } else {
      (word += 'q') += kHex[byte >> 4];
      word += kHex[byte & 15];
    }
  }
  return word;
}

void add_key(std::string& keys, Key key, std::string_view value) {
  if (value.empty()) return;
  if (!keys.empty()) keys += ' ';
  keys += key_word(key, value);
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \t\r\n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (std::ranges::any_of(word,
                            [](char c) { return is_word_byte(static_cast<unsigned char>(c)); })) {
      words.push_back(word);
    }
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return words;
}

std::string any_of(Key key, const std::vector<std::string>& values, bool prefix) {
  std::string all;
  for (const std::string& value : values) {
    const bool pattern = key == Key::event && value.ends_with('*');
    std::string word =
        key_word(key, pattern ? std::string_view(value).substr(0, value.size() - 1) : value);
    if (!all.empty()) all += " OR ";
    all += "keys : \"" + word + '"' + (prefix || pattern ? "*" : "");
  }
  return '(' + all + ')';
}

std::string text_expression(std::string_view text) {
  std::string all;
  for (const std::string_view word : split(text)) {
    std::string quoted;
    for (const char c : word) quoted += c == '"' || static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    if (!all.empty()) all += " AND ";
    all += "body : \"" + quoted + "\"*";
  }
  if (all.empty()) return all;
  return "((" + all + ") OR keys : \"" + key_word(Key::sealed, "1") + "\")";
}

}  // namespace

namespace {

void add_who(std::string& keys, const audit::ReadEntry& entry) {
  for (const std::string_view path : audit::actor_paths(entry)) {
    add_key(keys, Key::actor, entry.text(path));
  }
  for (const std::string_view path : audit::tenant_paths(entry)) {
    add_key(keys, Key::tenant, entry.text(path));
  }
  for (const std::string_view path : audit::session_paths()) {
    add_key(keys, Key::session, entry.text(path));
  }
}

void add_texts(std::string& all, const audit::ReadEntry& entry) {
  for (const std::string_view path : {"actor.username", "actor.process"}) {
    (all += ' ') += entry.text(path);
  }
  for (const audit::JsonMember& field : entry.fields) {
    (void)audit::any_text(field.value, [&](const std::string& text) {
      (all += ' ') += text;
      return false;
    });
  }
}

}  // namespace

Words words_of(const audit::ReadEntry& entry, const audit::ReadEntry* related) {
  Words words;
  add_who(words.keys, entry);
  if (related != nullptr) add_who(words.keys, *related);
  add_key(words.keys, Key::event, entry.text("event"));
  add_key(words.keys, Key::ocsf_class, entry.text("class_uid"));
  add_key(words.keys, Key::intent, entry.text("intent"));
  add_key(words.keys, Key::terminal, entry.text("fields.terminal"));
  if (const std::string outcome = entry.text("outcome"); outcome != "unknown") {
    add_key(words.keys, Key::outcome, outcome);
  }
  const bool is_sealed =
      !entry.raw("sealed").empty() || (related != nullptr && !related->raw("sealed").empty());
  if (is_sealed) add_key(words.keys, Key::sealed, "1");
  words.text = entry.text("event");
  add_texts(words.text, entry);
  if (related != nullptr) add_texts(words.text, *related);
  std::ranges::replace(words.text, '\0', ' ');
  return words;
}

std::optional<std::string> match_expression(const protocol::AuditFilter& filter) {
  std::vector<std::string> parts;
  if (!filter.text.empty()) {
    parts.push_back(text_expression(filter.text));
    if (parts.back().empty()) return std::nullopt;
  }
  if (!filter.actors.empty()) parts.push_back(any_of(Key::actor, filter.actors, false));
  if (!filter.tenants.empty()) parts.push_back(any_of(Key::tenant, filter.tenants, false));
  if (!filter.sessions.empty()) parts.push_back(any_of(Key::session, filter.sessions, true));
  if (!filter.events.empty()) parts.push_back(any_of(Key::event, filter.events, false));
  if (!filter.outcomes.empty()) parts.push_back(any_of(Key::outcome, filter.outcomes, false));
  std::vector<std::string> numbers;
  for (const std::uint64_t uid : filter.classes) numbers.push_back(std::to_string(uid));
  if (!numbers.empty()) parts.push_back(any_of(Key::ocsf_class, numbers, false));
  if (filter.intent) parts.push_back(any_of(Key::intent, {std::to_string(*filter.intent)}, false));
  if (!filter.terminal.empty()) parts.push_back(any_of(Key::terminal, {filter.terminal}, false));
  std::string all;
  for (const std::string& part : parts) (all += all.empty() ? "" : " AND ") += part;
  return all;
}

bool has_words(std::string_view content, std::string_view text) {
  return std::ranges::all_of(split(text), [&](std::string_view word) {
    for (std::size_t at = 0; at + word.size() <= content.size(); ++at) {
      if (at > 0 && is_word_byte(static_cast<unsigned char>(content[at - 1]))) continue;
      if (std::ranges::equal(content.substr(at, word.size()), word, {}, lower, lower)) return true;
    }
    return false;
  });
}

}  // namespace oqto::auditor
