#include "sandbox/policy/oracle.h"

#include <algorithm>

namespace oqto::sandbox::oracle {
namespace {

Texts split(const std::string& text, char at) {
  Texts parts(1);
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Component by component.
bool below(const std::string& path, const std::string& root) {
  if (root == "/") return true;
  const Texts a = split(path, '/'), b = split(root, '/');
  return a.size() >= b.size() && std::equal(b.begin(), b.end(), a.begin());
}

bool any_below(const Texts& roots, const std::string& path) {
  return std::ranges::any_of(roots, [&](const auto& root) { return below(path, root); });
}

// Label by label from the right.
bool name_matches(const std::string& pattern, const std::string& name) {
  if (pattern == "**") return true;
  Texts want = split(pattern, '.'), have = split(name, '.');
  const bool one = want.front() == "*", many = want.front() == "**";
  if (!one && !many) return want == have;
  want.erase(want.begin());
  if (have.size() <= want.size()) return false;
  if (one && have.size() != want.size() + 1) return false;
  return std::equal(want.rbegin(), want.rend(), have.rbegin());
}

bool rule_matches(const std::string& rule, const std::string& name, int port) {
  const Texts parts = split(rule, ':');
  if (!name_matches(parts[0], name)) return false;
  if (parts.size() == 1) return port == 80 || port == 443;
  return std::ranges::any_of(split(parts[1], ','), [&](const std::string& each) {
    return each == "*" || each == std::to_string(port);
  });
}

bool variable_matches(const Texts& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](std::string pattern) {
    if (!pattern.ends_with('*')) return pattern == name;
    pattern.pop_back();
    return name.compare(0, pattern.size(), pattern) == 0;
  });
}

// The word of the longest root that holds the path.
std::string guard_word(const std::map<std::string, std::string>& guard, const std::string& path) {
  std::string word;
  std::size_t depth = 0;
  for (const auto& [root, each] : guard) {
    const std::size_t own = split(root, '/').size();
    if (below(path, root) && own > depth) {
      word = each;
      depth = own;
    }
  }
  return word;
}

Access of_word(const std::string& word) {
  return word == "auto" ? Access::recorded : word == "prompt" ? Access::asked : Access::none;
}

}  // namespace

Access access(const Policy& policy, const std::string& path) {
  if (any_below(policy.deny_read.values, path)) return Access::none;
  std::map<std::string, std::string> guard;
  for (const std::string& item : policy.ask.values) {
    const std::size_t colon = item.find(':');
    std::string& word = guard[item.substr(colon + 1)];
    if (word != "prompt") word = item.substr(0, colon);
  }
  if (const std::string word = guard_word(guard, path); !word.empty()) return of_word(word);
  const bool writable = path[0] == '.' || any_below(policy.allow_write.values, path);
  if (!writable && !any_below(policy.allow_read.values, path)) return Access::none;
  if (any_below(policy.deny_write.values, path) || any_below(policy.protect.values, path)) {
    return Access::read;
  }
  return writable ? Access::write : Access::read;
}

Reach reach(const Policy& policy, const std::string& name, int port) {
  if (policy.network == policies::Network::isolated) return Reach::no;
  if (policy.network == policies::Network::open) return Reach::yes;
  for (const std::string& rule : policy.domains.values) {
    if (rule_matches(rule, name, port)) return Reach::yes;
  }
  if (policy.unknown_hosts == policies::Ask::automatic) return Reach::yes;
  return policy.unknown_hosts == policies::Ask::prompt ? Reach::asked : Reach::no;
}

bool passes(const Policy& policy, const std::string& variable) {
  return variable_matches(policy.env_pass.values, variable);
}

// --- of a file -----------------------------------------------------------------------------------

Said resolved(const File& host, const std::string& profile) {
  Said all;
  all.protect = Texts{"./.oqto", "./.git/hooks", "./.git/config", "./.git/config.worktree",
                      "./.git/commondir"};
  all.env_pass = Texts{"LANG", "LC_*", "TERM", "COLORTERM", "NO_COLOR", "TZ"};
  all.mode = "isolated";
  all.run_own_programs = profile != "strict";
  const auto adjust = [&all](const Said& by) {
    const auto take = [](auto& to, const auto& from) {
      if (from) to = from;
    };
    take(all.allow_read, by.allow_read);
    take(all.allow_write, by.allow_write);
    take(all.deny_read, by.deny_read);
    take(all.deny_write, by.deny_write);
    take(all.protect, by.protect);
    take(all.env_pass, by.env_pass);
    take(all.guard, by.guard);
    take(all.timeout, by.timeout);
    take(all.run_own_programs, by.run_own_programs);
    take(all.hash_programs, by.hash_programs);
    if (by.isolate_network || by.mode) {
      const std::string mode = by.isolate_network ? "isolated" : *by.mode;
      if (mode != "filtered" || all.mode != "filtered" || by.domains) {
        all.domains = by.domains;
        all.unknown = by.unknown;
      }
      take(all.unknown, by.unknown);
      all.mode = mode;
    }
  };
  if (const auto own = host.profiles.find(profile); own != host.profiles.end()) adjust(own->second);
  adjust(host.flat);
  return all;
}

Access access(const Said& said, bool host, const std::string& path) {
  if (said.deny_read && any_below(*said.deny_read, path)) return Access::none;
  if (said.guard) {
    for (const auto& [root, word] : *said.guard) {
      if (word == "deny" && below(path, root)) return Access::none;
    }
    if (const auto word = guard_word(*said.guard, path); !word.empty()) return of_word(word);
  }
  const bool own = path[0] == '.';
  // A host grants what it lists. A workspace has nothing against what it does not speak of, and if
  // it says what may be read, no more than that may be written either.
  bool writable = own || (said.allow_write && any_below(*said.allow_write, path));
  bool readable = writable || (said.allow_read && any_below(*said.allow_read, path));
  if (!host && !said.allow_read) readable = true;
  if (!host && !said.allow_write) writable = readable;
  if (!readable) return Access::none;
  const bool kept = (said.deny_write && any_below(*said.deny_write, path)) ||
                    (said.protect && any_below(*said.protect, path));
  return writable && !kept ? Access::write : Access::read;
}

Reach reach(const Said& said, bool host, const std::string& name, int port) {
  const std::string mode = said.isolate_network ? "isolated" : said.mode.value_or("open");
  if (mode == "isolated") return Reach::no;
  if (mode == "open" || (!host && !said.domains)) return Reach::yes;
  for (const std::string& rule : said.domains.value_or(Texts{})) {
    if (rule_matches(rule, name, port)) return Reach::yes;
  }
  return said.unknown == "prompt" ? Reach::asked : Reach::no;
}

bool passes(const Said& said, bool host, const std::string& variable) {
  return said.env_pass ? variable_matches(*said.env_pass, variable) : !host;
}

}  // namespace oqto::sandbox::oracle
