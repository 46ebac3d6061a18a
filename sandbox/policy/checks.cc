// The second half of the builder: what has to be seen as a whole before it means something.
#include <algorithm>

#include "sandbox/policy/builder.h"
#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using Kind = PolicyNode::Kind;
using policies::Ask;

std::string in_line(const PolicyOrigin& origin) {
  return "`" + origin.item + "` (" + origin.key + ", line " + std::to_string(origin.line) + ")";
}

// Of an item of guard.paths or guard.policy, or of a list of paths.
std::string_view path_of(const PolicyOrigin& origin) {
  const std::string_view item = origin.item;
  const bool guard = origin.key.starts_with("guard.");
  return guard ? item.substr(item.find(':') + 1) : item;
}

std::optional<Ask> ask_of(std::string_view word) {
  for (const Ask ask : {Ask::automatic, Ask::prompt, Ask::deny}) {
    if (word == ask_name(ask)) return ask;
  }
  return {};
}

}  // namespace

// --- guard ---------------------------------------------------------------------------------------

Taken PolicyBuilder::take_guard_enabled(const PolicyEntry& entry) {
  scope_.guard_enabled = entry.value.flag;
  say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  return {};
}

Taken PolicyBuilder::take_guard_paths(const PolicyEntry& entry) {
  scope_.guarded_at = entry.line;
  if (entry.value.items.size() > kMaxFileItems) {
    return refuse(entry.line, "at most " + std::to_string(kMaxFileItems) + " paths are guarded");
  }
  for (const PolicyNode& item : entry.value.items) {
    if (item.kind != Kind::text) return refuse(item.line, "each entry is a text in quotes");
    auto path = path_for(PathUse::ask, item.text, context_);
    if (!path) return refuse(item.line, path.error());
    scope_.guarded.push_back({*std::move(path), Ask::prompt, item.line});
  }
  return {};
}

Taken PolicyBuilder::take_guard_policy(const PolicyEntry& entry) {
  if (!scope_.guarded_at) scope_.guarded_at = entry.line;
  if (entry.value.entries.size() > kMaxFileItems) {
    return refuse(entry.line, "at most " + std::to_string(kMaxFileItems) + " paths are guarded");
  }
  for (const PolicyEntry& each : entry.value.entries) {
    auto path = path_for(PathUse::ask, each.key, context_);
    if (!path) return refuse(each.line, path.error());
    const auto how = ask_of(each.value.text);
    if (!how) return refuse(each.line, "a guarded path is \"auto\", \"prompt\" or \"deny\"");
    scope_.guard_words.push_back({*std::move(path), *how, each.line});
  }
  return {};
}

// Whoever does not answer has not agreed.
Taken PolicyBuilder::take_guard_default(const PolicyEntry& entry) {
  if (entry.value.text != "deny") {
    return refuse(entry.line, "an unanswered question is always a no: write \"deny\"");
  }
  say(entry.key, entry.value.text, entry.line);
  return {};
}

Taken PolicyBuilder::take_timeout(const PolicyEntry& entry) {
  const std::int64_t seconds = entry.value.number;
  if (seconds < 1 || static_cast<std::uint64_t>(seconds) > kMaxAskTimeout) {
    return refuse(entry.line, "a number of seconds from 1 to 600 is needed");
  }
  const auto timeout = static_cast<std::uint64_t>(seconds);
  scope_.timeout = std::min(scope_.timeout.value_or(timeout), timeout);
  say(entry.key, std::to_string(timeout), entry.line);
  return {};
}

void PolicyBuilder::apply_timeout() {
  if (scope_.timeout) policy_.ask_timeout_s = *scope_.timeout;
}

// The word on a path is its own, or "prompt" for what only stands in guard.paths.
Taken PolicyBuilder::apply_guard_words() {
  const auto& words = scope_.guard_words;
  for (const Scope::Guarded& word : words) {
    const auto first = std::ranges::find(words, word.path, &Scope::Guarded::path);
    if (first->how != word.how) {
      return refuse(word.line,
                    "line " + std::to_string(first->line) + " says otherwise of this path");
    }
    if (std::ranges::none_of(scope_.guarded, [&](const Scope::Guarded& each) {
          return path_contains(each.path, word.path);
        })) {
      return refuse(word.line, "this path is not guarded: add it to guard.paths");
    }
  }
  std::erase_if(scope_.guarded, [&](const Scope::Guarded& each) {
    return std::ranges::find(words, each.path, &Scope::Guarded::path) != words.end();
  });
  return {};
}

Taken PolicyBuilder::apply_guard() {
  const bool says_something = !scope_.guarded.empty() || !scope_.guard_words.empty();
  if (says_something && scope_.guard_enabled != true) {
    return refuse(*scope_.guarded_at, "without enabled = true in [guard] this means nothing");
  }
  if (!scope_.guard_enabled && !scope_.guarded_at) return {};
  if (const Taken taken = apply_guard_words(); !taken) return taken;
  forget({"guard.paths", "guard.policy"});
  policy_.ask.values.clear();
  guard_denied_.clear();
  table_ = "guard";
  for (const Scope::Guarded& each : scope_.guarded) guard(each, "paths");
  for (const Scope::Guarded& each : scope_.guard_words) guard(each, "policy");
  return {};
}

void PolicyBuilder::guard(const Scope::Guarded& path, std::string_view key) {
  say(key, std::string(ask_name(path.how)) + ':' + path.path, path.line);
  if (path.how == Ask::deny) {
    guard_denied_.push_back(path.path);
  } else {
    policy_.ask.values.push_back(ask_text(path.how, path.path));
  }
}

// --- the whole -----------------------------------------------------------------------------------

PolicyBuilder::Lines PolicyBuilder::said(std::initializer_list<std::string_view> keys) const {
  Lines lines;
  for (const PolicyOrigin& origin : origins_) {
    if (std::ranges::find(keys, origin.key) != keys.end()) lines.push_back(&origin);
  }
  return lines;
}

Taken PolicyBuilder::check_pairs(const Lines& granted, const Lines& denied,
                                 std::string_view what) const {
  for (const PolicyOrigin* grant : granted) {
    for (const PolicyOrigin* denial : denied) {
      if (denial->item.empty() || !path_contains(path_of(*denial), path_of(*grant))) continue;
      return refuse(std::max(grant->line, denial->line), in_line(*grant) + ' ' + std::string(what) +
                                                             ' ' + in_line(*denial) +
                                                             ": remove one of them");
    }
  }
  return {};
}

Taken PolicyBuilder::check_contradictions() const {
  const Lines reads = said({"allow_read", "extra_ro_bind", "allow_write", "extra_rw_bind"});
  const Lines writes = said({"allow_write", "extra_rw_bind"});
  Lines asks, denied = said({"deny_read"});
  for (const PolicyOrigin* origin : said({"guard.paths", "guard.policy"})) {
    (origin->item.starts_with("deny:") ? denied : asks).push_back(origin);
  }
  if (const Taken taken = check_pairs(reads, denied, "is denied by"); !taken) return taken;
  if (const Taken taken = check_pairs(asks, denied, "is denied by"); !taken) return taken;
  if (const Taken taken = check_pairs(reads, asks, "is only read by asking, after"); !taken) {
    return taken;
  }
  if (const Taken taken = check_pairs(writes, said({"deny_write"}), "is denied by"); !taken) {
    return taken;
  }
  for (const PolicyOrigin* set : said({"env.set"})) {
    const std::string name = set->item.substr(0, set->item.find('='));
    for (const PolicyOrigin* pass : said({"env.pass"})) {
      if (pass->item != name) continue;
      return refuse(std::max(set->line, pass->line),
                    '`' + name + "` is passed and set: remove one of them");
    }
  }
  return {};
}

std::expected<ParsedPolicy, PolicyRefusal> PolicyBuilder::finish() && {
  if (const Taken taken = check_contradictions(); !taken) return std::unexpected(taken.error());
  // A workspace that says what may be read means all of it: what is writable is readable.
  if (!is_host() && !said({"allow_read"}).empty() &&
      policy_.allow_write == loosest_policy().allow_write) {
    policy_.allow_write = policy_.allow_read;
  }
  policy_.deny_read.values.insert(policy_.deny_read.values.end(), guard_denied_.begin(),
                                  guard_denied_.end());
  normalise(policy_);
  if (!policy_.fits_one_file() || !policy_.in_range()) {
    return refuse(1, "the lists are too long together: at most " + std::to_string(kMaxFileItems) +
                         " entries of a kind and " + std::to_string(kMaxFileText) +
                         " bytes in all");
  }
  return ParsedPolicy{std::move(policy_), std::move(origins_), std::move(notes_)};
}

}  // namespace oqto::sandbox
