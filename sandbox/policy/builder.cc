#include "sandbox/policy/builder.h"

#include <algorithm>

#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using Kind = PolicyNode::Kind;

std::string too_many() {
  return "at most " + std::to_string(kMaxFileItems) + " entries in one list";
}

Taken check_texts(const PolicyNode& list) {
  if (list.items.size() > kMaxFileItems) return refuse(list.line, too_many());
  for (const PolicyNode& item : list.items) {
    if (item.kind != Kind::text) return refuse(item.line, "each entry is a text in quotes");
  }
  return {};
}

}  // namespace

void PolicyBuilder::say(std::string_view key, std::string item, std::size_t line) {
  std::string name(table_);
  if (!name.empty()) name += '.';
  origins_.push_back({name + std::string(key), std::move(item), line});
}

void PolicyBuilder::note(std::size_t line, std::string what) {
  PolicyNote made{line, std::move(what)};
  if (std::ranges::find(notes_, made) == notes_.end()) notes_.push_back(std::move(made));
}

void PolicyBuilder::forget(std::initializer_list<std::string_view> keys) {
  std::erase_if(origins_, [&](const PolicyOrigin& origin) {
    return std::ranges::find(keys, origin.key) != keys.end();
  });
}

// --- paths ---------------------------------------------------------------------------------------

Taken PolicyBuilder::take_texts(const PolicyEntry& entry) {
  if (entry.value.items.empty()) say(entry.key, "", entry.line);
  return check_texts(entry.value);
}

Taken PolicyBuilder::take_paths(const PolicyEntry& entry, PathUse use, PolicyList& list) {
  if (const Taken taken = take_texts(entry); !taken) return taken;
  for (const PolicyNode& item : entry.value.items) {
    if (const auto why = granted_already(use, item.text, context_)) {
      note(item.line, *why);
      continue;
    }
    const auto path = path_for(use, item.text, context_);
    if (!path) return refuse(item.line, path.error());
    say(entry.key, *path, item.line);
    // The workspace is writable already. The path may have been written as an absolute one, so that
    // it means something in other workspaces.
    const bool idle = (use == PathUse::allow_read || use == PathUse::allow_write) &&
                      path_contains(".", *path) && is_host();
    if (!idle) list.values.push_back(*path);
  }
  return {};
}

Taken PolicyBuilder::take_path_list(const PolicyEntry& entry) {
  struct Row {
    std::string_view key, bind;
    PathUse use;
    PolicyList Policy::*list;
  };
  static constexpr Row kRows[] = {
      {"allow_read", "extra_ro_bind", PathUse::allow_read, &Policy::allow_read},
      {"allow_write", "extra_rw_bind", PathUse::allow_write, &Policy::allow_write},
      {"deny_read", "", PathUse::deny_read, &Policy::deny_read},
      {"deny_write", "", PathUse::deny_write, &Policy::deny_write},
      {"protect", "", PathUse::protect, &Policy::protect}};
  for (const Row& row : kRows) {
    if (row.key != entry.key) continue;
    forget({row.key, row.bind});
    (policy_.*row.list).values.clear();
    return take_paths(entry, row.use, policy_.*row.list);
  }
  return refuse(entry.line, "not a list of paths");
}

Taken PolicyBuilder::take_bind_list(const PolicyEntry& entry) {
  if (entry.key == "extra_ro_bind") {
    return take_paths(entry, PathUse::allow_read, policy_.allow_read);
  }
  return take_paths(entry, PathUse::allow_write, policy_.allow_write);
}

// --- switches ------------------------------------------------------------------------------------

// True here whatever is said: the file demands it, or does not.
Taken PolicyBuilder::take_accepted(const PolicyEntry& entry) {
  if (entry.value.kind == Kind::flag)
    say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  return {};
}

Taken PolicyBuilder::take_mode_word(const PolicyEntry& entry) {
  const std::string& mode = entry.value.text;
  if (mode != "off" && mode != "audit" && mode != "enforce") {
    return refuse(entry.line, "the modes are \"off\", \"audit\" and \"enforce\"; all enforce here");
  }
  say(entry.key, mode, entry.line);
  return {};
}

Taken PolicyBuilder::take_own_programs(const PolicyEntry& entry) {
  policy_.run_own_programs = entry.value.flag ? 1 : 0;
  say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  return {};
}

Taken PolicyBuilder::take_audit_contents(const PolicyEntry& entry) {
  if (const Taken hosted = check_hosted(entry); entry.value.flag && !hosted) return hosted;
  policy_.audit_contents = entry.value.flag ? 1 : 0;
  say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  return {};
}

Taken PolicyBuilder::take_hash_programs(const PolicyEntry& entry) {
  policy_.hash_programs = entry.value.flag ? 1 : 0;
  say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  return {};
}

// --- limits --------------------------------------------------------------------------------------

Taken PolicyBuilder::take_limit(const PolicyEntry& entry) {
  for (const policies::LimitRow& row : policies::kLimitRows) {
    if (row.key != entry.key) continue;
    const std::int64_t number = entry.value.number;
    if (number < 0 || static_cast<std::uint64_t>(number) < row.floor ||
        static_cast<std::uint64_t>(number) > row.ceiling) {
      return refuse(entry.line, "a whole number from " + std::to_string(row.floor) + " to " +
                                    std::to_string(row.ceiling) + " is needed");
    }
    policy_.limits.*row.value = static_cast<std::uint64_t>(number);
    say(entry.key, std::to_string(number), entry.line);
    return {};
  }
  return refuse(entry.line, "not a limit");
}

Taken PolicyBuilder::take_cgroups(const PolicyEntry& entry) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(policies::Cgroups::kEnd); ++i) {
    const auto cgroups = static_cast<policies::Cgroups>(i);
    if (entry.value.text != policies::cgroups_name(cgroups)) continue;
    policy_.cgroups = cgroups;
    say(entry.key, entry.value.text, entry.line);
    return {};
  }
  return refuse(entry.line, "cgroups are \"optional\" or \"required\"");
}

// --- environment ---------------------------------------------------------------------------------

Taken PolicyBuilder::take_env_pass(const PolicyEntry& entry) {
  if (is_host() && context_.hosted) {
    return refuse(entry.line,
                  "a hosted session has no caller whose variables could pass: use "
                  "env.set");
  }
  forget({"env.pass"});
  if (const Taken taken = take_texts(entry); !taken) return taken;
  policy_.env_pass.values.clear();
  for (const PolicyNode& item : entry.value.items) {
    const auto name = normal_variable(item.text);
    if (!name) return refuse(item.line, name.error());
    say(entry.key, *name, item.line);
    policy_.env_pass.values.push_back(*name);
  }
  return {};
}

Taken PolicyBuilder::take_env_set(const PolicyEntry& entry) {
  forget({"env.set"});
  policy_.env_set.values.clear();
  if (entry.value.entries.size() > kMaxFileItems) return refuse(entry.line, too_many());
  for (const PolicyEntry& each : entry.value.entries) {
    if (each.value.kind != Kind::text) return refuse(each.line, "a text is needed, in quotes");
    const auto setting = normal_setting(each.key, each.value.text);
    if (!setting) return refuse(each.line, setting.error());
    say(entry.key, *setting, each.line);
    policy_.env_set.values.push_back(*setting);
  }
  return {};
}

// --- network -------------------------------------------------------------------------------------

Taken PolicyBuilder::take_isolate_network(const PolicyEntry& entry) {
  say(entry.key, entry.value.flag ? "true" : "false", entry.line);
  (entry.value.flag ? scope_.isolated_at : scope_.shared_at) = entry.line;
  return {};
}

Taken PolicyBuilder::take_network_mode(const PolicyEntry& entry) {
  const std::string& mode = entry.value.text;
  if (mode == "open" && is_host() && context_.hosted) {
    return refuse(entry.line,
                  "a hosted session never shares this host's network: use \"filtered\"");
  }
  if (mode == "open") {
    scope_.mode = policies::Network::open;
  } else if (mode == "filtered" || mode == "proxy") {
    scope_.mode = policies::Network::filtered;
  } else if (mode == "isolated") {
    scope_.mode = policies::Network::isolated;
  } else {
    return refuse(entry.line, "the modes are \"isolated\", \"filtered\" and \"open\"");
  }
  if (scope_.isolated_at && scope_.mode != policies::Network::isolated) {
    return refuse(entry.line, "isolate_network = true in line " +
                                  std::to_string(*scope_.isolated_at) +
                                  " says otherwise: remove one of them");
  }
  forget({"network.mode", "isolate_network"});
  say(entry.key, std::string(policies::network_name(*scope_.mode)), entry.line);
  return {};
}

Taken PolicyBuilder::take_domains(const PolicyEntry& entry) {
  forget({"network.allow_domains"});
  if (const Taken taken = take_texts(entry); !taken) return taken;
  scope_.domains_at = entry.line;
  for (const PolicyNode& item : entry.value.items) {
    const auto rules = normal_domains(item.text);
    if (!rules) return refuse(item.line, rules.error());
    for (const std::string& rule : *rules) {
      say(entry.key, rule, item.line);
      scope_.domains.push_back(rule);
    }
  }
  if (scope_.domains.size() > kMaxFileItems) {
    return refuse(entry.line, "at most " + std::to_string(kMaxFileItems) +
                                  " pairs of name and port; a name without a port counts twice");
  }
  return {};
}

Taken PolicyBuilder::take_unknown_hosts(const PolicyEntry& entry) {
  if (entry.value.text == "deny") {
    scope_.unknown = policies::Ask::deny;
  } else if (entry.value.text == "prompt") {
    scope_.unknown = policies::Ask::prompt;
  } else {
    return refuse(entry.line, "other names are refused or asked for: \"deny\" or \"prompt\"");
  }
  forget({"network.unknown"});
  say(entry.key, entry.value.text, entry.line);
  scope_.unknown_at = entry.line;
  return {};
}

// isolate_network = false, with no mode beside it.
void PolicyBuilder::apply_shared_network() {
  if (!scope_.shared_at || scope_.mode || scope_.isolated_at) return;
  if (!is_host()) {
    note(*scope_.shared_at, "a workspace's file can only tighten: this asks for nothing");
  } else if (context_.hosted) {
    note(*scope_.shared_at, "a hosted session never shares this host's network: this changes nothing; "
                            "[network] mode = \"filtered\" with allow_domains lets it reach names");
  } else if (policy_.profile == ipc::Profile::strict) {
    note(*scope_.shared_at, "strict stays isolated: write [network] mode = \"open\" if that is meant");
  } else {
    scope_.mode = policies::Network::open;
  }
}

// What only the host's gateway and runner enforce.
Taken PolicyBuilder::check_hosted(const PolicyEntry& entry) const {
  if (context_.hosted) return {};
  return refuse(entry.line, "nothing enforces this outside a hosted session: remove it");
}

Taken PolicyBuilder::take_delegated_fetch(const PolicyEntry& entry) {
  if (const Taken hosted = check_hosted(entry); !hosted) return hosted;
  forget({"network.delegated_fetch"});
  if (const Taken taken = take_texts(entry); !taken) return taken;
  policy_.delegated_fetch = 0;
  for (const PolicyNode& item : entry.value.items) {
    policies::FetchSet found = 0;
    for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(policies::Fetch::kEnd); ++i) {
      const auto fetch = static_cast<policies::Fetch>(i);
      if (item.text == policies::fetch_name(fetch)) found = policies::fetch_bit(fetch);
    }
    if (found == 0) {
      return refuse(item.line, "a provider can be allowed: " + policies::fetch_names(policies::kEveryFetch));
    }
    say(entry.key, item.text, item.line);
    policy_.delegated_fetch |= found;
  }
  return {};
}

Taken PolicyBuilder::apply_network() {
  apply_shared_network();
  const bool filtered = scope_.mode == policies::Network::filtered;
  const char* const kBeside =
      "only mode \"filtered\" knows names: write mode = \"filtered\" beside it";
  if (!filtered && !scope_.domains.empty()) return refuse(*scope_.domains_at, kBeside);
  if (!filtered && scope_.unknown == policies::Ask::prompt)
    return refuse(*scope_.unknown_at, kBeside);
  if (scope_.isolated_at && !scope_.mode) scope_.mode = policies::Network::isolated;
  if (!scope_.mode) return {};
  // A workspace that names no names has nothing against those of the host.
  const bool keeps = filtered && !is_host();
  if (keeps) {
    policy_.network = *scope_.mode;
  } else {
    policy_ = with_network(std::move(policy_), *scope_.mode);
  }
  if (filtered && scope_.domains_at) {
    policy_.domains.values = scope_.domains;
    policy_.unknown_hosts = policies::Ask::deny;
  }
  if (filtered && scope_.unknown) policy_.unknown_hosts = *scope_.unknown;
  return {};
}

}  // namespace oqto::sandbox
