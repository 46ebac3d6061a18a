// Random policies for the tests of the merge, as files and as values.
#include <algorithm>

#include "sandbox/policy/oracle.h"

namespace oqto::sandbox::oracle {

const Texts& paths() {
  static const Texts all = [] {
    Texts made;
    for (const std::string root : {".", "~", "/srv", "/data"}) {
      for (const std::string a : {"", "/a", "/b", "/ab"}) {
        for (const std::string b : {"", "/a", "/c"}) {
          if (a.empty() && !b.empty()) continue;
          for (const std::string c : {"", "/d"}) {
            if (b.empty() && !c.empty()) continue;
            made.push_back(root + a + b + c);
          }
        }
      }
    }
    made.insert(made.end(), {"./.git/hooks/x", "./.oqto/sandbox.toml", "./.git/HEAD"});
    return made;
  }();
  return all;
}

const Texts& names() {
  static const Texts all = {"x.test",  "a.x.test", "b.a.x.test", "c.b.a.x.test",
                            "ax.test", "y.test",   "a.y.test",   "x.test.evil.test"};
  return all;
}

const Texts& variables() {
  static const Texts all = {"LANG", "LC_ALL", "TERM", "TERMINFO", "SECRET", "TZ", "A", "AB", "LC"};
  return all;
}

namespace {

bool chance(std::mt19937_64& random, unsigned percent) {
  return random() % 100 < percent;
}

template <class T>
const T& one_of(std::mt19937_64& random, const std::vector<T>& all) {
  return all[random() % all.size()];
}

Texts some(std::mt19937_64& random, const Texts& all, std::size_t most) {
  Texts chosen;
  for (std::size_t n = random() % (most + 1); n > 0; --n) chosen.push_back(one_of(random, all));
  return chosen;
}

// Paths that a list of the kind can hold.
Texts path_words(bool granting, bool in_workspace) {
  Texts words;
  for (const std::string& path : paths()) {
    const bool whole = path == "." || path == "~";
    if (whole || (granting && !in_workspace && path[0] == '.')) continue;
    words.push_back(path);
  }
  return words;
}

std::optional<Texts> maybe_paths(std::mt19937_64& random, bool granting, bool in_workspace) {
  if (!chance(random, 40)) return {};
  static const Texts any = path_words(false, true), outside = path_words(true, false);
  return some(random, granting && !in_workspace ? outside : any, 3);
}

Texts random_rules(std::mt19937_64& random) {
  static const Texts kPatterns = {"x.test",  "*.x.test", "**.x.test", "a.x.test", "*.a.x.test",
                                  "**.test", "*.test",   "y.test",    "**.y.test"};
  static const Texts kEndings = {"", ":443", ":80,8443", ":8443"};
  Texts rules;
  for (auto n = random() % 4; n > 0; --n) {
    rules.push_back(one_of(random, kPatterns) + one_of(random, kEndings));
  }
  return rules;
}

void random_network(std::mt19937_64& random, bool host, Said& said) {
  if (!chance(random, 60)) return;
  if (chance(random, 15)) {
    said.isolate_network = true;
    return;
  }
  said.mode = one_of(random, Texts{"filtered", "filtered", "filtered", "isolated", "open"});
  if (said.mode != "filtered") return;
  if (host || chance(random, 70)) said.domains = random_rules(random);
  if (chance(random, 40)) said.unknown = one_of(random, Texts{"prompt", "deny"});
}

Said random_said(std::mt19937_64& random, bool host) {
  Said said;
  said.allow_read = maybe_paths(random, true, false);
  said.allow_write = maybe_paths(random, true, false);
  said.deny_read = maybe_paths(random, false, false);
  said.deny_write = maybe_paths(random, false, false);
  if (chance(random, 20)) said.protect = Texts{one_of(random, Texts{"./a", "./b/c", "./ab/a/d"})};
  static const Texts kVariables = {"LANG", "LC_*", "TERM", "TERM*", "A*", "AB", "SECRET"};
  if (chance(random, 40)) said.env_pass = some(random, kVariables, 3);
  random_network(random, host, said);
  if (chance(random, 30)) said.run_own_programs = chance(random, 50);
  if (chance(random, 30)) said.hash_programs = chance(random, 50);
  if (chance(random, 50)) {
    said.guard.emplace();
    static const Texts roots = path_words(false, true);
    for (const auto& path : some(random, roots, 3)) {
      (*said.guard)[path] = one_of(random, Texts{"auto", "prompt", "deny"});
    }
  }
  if (chance(random, 30)) said.timeout = static_cast<int>(1 + random() % 600);
  for (const policies::LimitRow& row : policies::kLimitRows) {
    if (!chance(random, 20)) continue;
    said.limits[std::string(row.key)] = row.floor + random() % (row.ceiling - row.floor + 1);
  }
  if (chance(random, 20)) said.cgroups = one_of(random, Texts{"optional", "required"});
  return said;
}

std::string quoted_list(const Texts& items) {
  std::string out = "[";
  for (const std::string& item : items) out += "'" + item + "', ";
  return out + "]\n";
}

// `table`: "" or "profiles.NAME"
std::string toml(const Said& said, const std::string& table) {
  std::string out = table.empty() ? "" : "[" + table + "]\n";
  const auto list = [&out](const char* key, const std::optional<Texts>& items) {
    if (items) out += std::string(key) + " = " + quoted_list(*items);
  };
  const auto head = [&](const char* name) {
    out += "[" + (table.empty() ? "" : table + ".") + name + "]\n";
  };
  list("allow_read", said.allow_read);
  list("allow_write", said.allow_write);
  list("deny_read", said.deny_read);
  list("deny_write", said.deny_write);
  list("protect", said.protect);
  if (said.isolate_network) out += "isolate_network = true\n";
  if (said.run_own_programs) {
    out += std::string("run_own_programs = ") + (*said.run_own_programs ? "true\n" : "false\n");
  }
  if (said.env_pass) head("env"), list("pass", said.env_pass);
  if (said.mode) {
    head("network");
    out += "mode = '" + *said.mode + "'\n";
    list("allow_domains", said.domains);
    if (said.unknown) out += "unknown = '" + *said.unknown + "'\n";
  }
  if (!said.limits.empty() || said.cgroups) head("limits");
  for (const auto& [key, value] : said.limits) out += key + " = " + std::to_string(value) + '\n';
  if (said.cgroups) out += "cgroups = '" + *said.cgroups + "'\n";
  if (said.timeout)
    head("prompts"), out += "auto_deny_timeout_secs = " + std::to_string(*said.timeout) + '\n';
  if (said.hash_programs) {
    head("audit");
    out += std::string("hash_programs = ") + (*said.hash_programs ? "true\n" : "false\n");
  }
  if (!said.guard) return out;
  head("guard");
  Texts guarded;
  for (const auto& [path, word] : *said.guard) guarded.push_back(path);
  out += "enabled = true\npaths = " + quoted_list(guarded);
  head("guard.policy");
  for (const auto& [path, word] : *said.guard) out += "'" + path + "' = '" + word + "'\n";
  return out;
}

}  // namespace

File random_host(std::mt19937_64& random) {
  File file;
  static const Texts kNames = {"minimal", "development", "strict"};
  if (chance(random, 20)) file.profile = one_of(random, kNames);
  file.flat = random_said(random, true);
  if (chance(random, 30)) file.profiles[one_of(random, kNames)] = random_said(random, true);
  return file;
}

File random_workspace(std::mt19937_64& random) {
  File file;
  if (chance(random, 40)) file.profile = one_of(random, Texts{"minimal", "development", "strict"});
  file.flat = random_said(random, false);
  return file;
}

std::string toml(const File& file) {
  std::string out = file.profile ? "profile = '" + *file.profile + "'\n" : "";
  out += toml(file.flat, "");
  for (const auto& [name, said] : file.profiles) out += toml(said, "profiles." + name);
  return out;
}

Policy random_value(std::mt19937_64& random) {
  Policy policy = profile_policy(static_cast<ipc::Profile>(random() % 3));
  policy.network = static_cast<policies::Network>(random() % 3);
  policy.unknown_hosts = static_cast<policies::Ask>(random() % 3);
  policy.cgroups = static_cast<policies::Cgroups>(random() % 2);
  policy.run_own_programs = static_cast<std::uint8_t>(random() % 2);
  policy.hash_programs = static_cast<std::uint8_t>(random() % 2);
  policy.ask_timeout_s = 1 + random() % kMaxAskTimeout;
  policy.delegated_fetch = static_cast<policies::FetchSet>(random()) & policies::kEveryFetch;
  policy.audit_contents = static_cast<std::uint8_t>(random() % 2);
  for (const policies::LimitRow& row : policies::kLimitRows) {
    policy.limits.*row.value = row.floor + random() % (row.ceiling - row.floor + 1);
  }
  static const Texts kPaths = path_words(false, true);
  static const Texts kRules = {"x.test:443",    "*.x.test:443",  "**.x.test:80", "a.x.test:8443",
                               "**.test:443",   "*.test:80",     "y.test:80",    "**:*",
                               "**.y.test:443", "*.a.x.test:443"};
  static const Texts kVariables = {"LANG", "LC_*", "TERM*", "A*", "AB", "*"};
  const auto fill = [&](PolicyList& list, Texts items) {
    std::ranges::sort(items);
    items.erase(std::ranges::unique(items).begin(), items.end());
    list.values = std::move(items);
  };
  fill(policy.allow_read, chance(random, 20) ? Texts{"/"} : some(random, kPaths, 4));
  fill(policy.allow_write, chance(random, 20) ? Texts{"/"} : some(random, kPaths, 4));
  fill(policy.deny_read, some(random, kPaths, 2));
  fill(policy.deny_write, some(random, kPaths, 2));
  fill(policy.domains, some(random, kRules, 5));
  fill(policy.env_pass, some(random, kVariables, 3));
  fill(policy.env_set, some(random, Texts{"A=1", "A=2", "B=1", "*"}, 2));
  fill(policy.protect, some(random, Texts{"./a", "./b/c", "./a/a"}, 2));
  Texts asks;
  for (const auto& path : some(random, kPaths, 4)) {
    asks.push_back((chance(random, 50) ? "auto:" : "prompt:") + path);
  }
  fill(policy.ask, std::move(asks));
  return policy;
}

}  // namespace oqto::sandbox::oracle
