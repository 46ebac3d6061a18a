// Which keys there are, and the checks that are the same for all of them.
#include <algorithm>
#include <iterator>

#include "base/nearest_word.h"
#include "sandbox/policy/builder.h"

namespace oqto::sandbox {
namespace {

using Kind = PolicyNode::Kind;
using B = PolicyBuilder;
constexpr auto kHost = PolicyKey::From::host;
constexpr auto kAnyone = PolicyKey::From::anyone;

constexpr std::string_view kNoBpf =
    "the system call filter is built in and cannot be replaced: "
    "remove this";
constexpr std::string_view kNoOverlay =
    "overlays are not known: use allow_write, or let the "
    "session write to its private home, and remove this";
constexpr std::string_view kNoScopes =
    "scoped_paths are not known: use allow_read or allow_write "
    "with the paths themselves";
constexpr std::string_view kNoPorts =
    "there is no proxy whose port could be set: names are enforced "
    "without one; remove this";

// In the order in which they are applied: what adds to a list comes after what replaces it.
constexpr PolicyKey kKeys[] = {
    {"", "allow_read", Kind::list, &B::take_path_list, kAnyone, {}},
    {"", "allow_write", Kind::list, &B::take_path_list, kAnyone, {}},
    {"", "extra_ro_bind", Kind::list, &B::take_bind_list, kHost, {}},
    {"", "extra_rw_bind", Kind::list, &B::take_bind_list, kHost, {}},
    {"", "deny_read", Kind::list, &B::take_path_list, kAnyone, {}},
    {"", "deny_write", Kind::list, &B::take_path_list, kAnyone, {}},
    {"", "protect", Kind::list, &B::take_path_list, kAnyone, {}},
    {"", "run_own_programs", Kind::flag, &B::take_own_programs, kAnyone, {}},
    {"", "isolate_network", Kind::flag, &B::take_isolate_network, kAnyone, {}},
    {"", "isolate_pid", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"", "drop_all_caps", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"", "disable_userns", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"", "assert_userns_disabled", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"", "no_new_privs", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"", "seccomp_mode", Kind::text, &B::take_mode_word, kAnyone, {}},
    {"", "landlock_mode", Kind::text, &B::take_mode_word, kAnyone, {}},
    {"", "seccomp_bpf_path", Kind::text, &B::take_accepted, kHost, kNoBpf},
    {"", "overlay_enabled", Kind::flag, &B::take_accepted, kHost, kNoOverlay},
    {"", "overlay_root", Kind::text, &B::take_accepted, kHost, kNoOverlay},
    {"", "overlay_paths", Kind::list, &B::take_accepted, kHost, kNoOverlay},
    {"", "scoped_paths", Kind::list, &B::take_accepted, kHost, kNoScopes},
    {"limits", "cgroups", Kind::text, &B::take_cgroups, kAnyone, {}},
    {"limits", "memory_bytes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "swap_bytes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "cpu_percent", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "io_bytes_per_s", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "max_processes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "open_files", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "file_bytes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "tmp_bytes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "tmp_inodes", Kind::number, &B::take_limit, kAnyone, {}},
    {"limits", "wall_clock_s", Kind::number, &B::take_limit, kAnyone, {}},
    {"env", "pass", Kind::list, &B::take_env_pass, kAnyone, {}},
    {"env", "set", Kind::table, &B::take_env_set, kHost, {}},
    {"network", "mode", Kind::text, &B::take_network_mode, kAnyone, {}},
    {"network", "allow_domains", Kind::list, &B::take_domains, kAnyone, {}},
    {"network", "unknown", Kind::text, &B::take_unknown_hosts, kAnyone, {}},
    {"network", "delegated_fetch", Kind::list, &B::take_delegated_fetch, kAnyone, {}},
    {"network", "log_requests", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"network", "proxy_tcp_port", Kind::number, &B::take_accepted, kHost, kNoPorts},
    {"network", "proxy_dns_port", Kind::number, &B::take_accepted, kHost, kNoPorts},
    {"ssh", "enabled", Kind::flag, &B::take_accepted, kAnyone,
     "a session gets no SSH agent in this version: write false, or remove this"},
    {"ssh", "allowed_hosts", Kind::list, &B::take_accepted, kAnyone,
     "a session gets no SSH agent in this version, so this would grant nothing: remove it"},
    {"ssh", "allowed_keys", Kind::list, &B::take_accepted, kAnyone,
     "a session gets no SSH agent in this version, so this would grant nothing: remove it"},
    {"ssh", "prompt_unknown", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"ssh", "log_connections", Kind::flag, &B::take_accepted, kAnyone, {}},
    {"guard", "enabled", Kind::flag, &B::take_guard_enabled, kAnyone, {}},
    {"guard", "paths", Kind::list, &B::take_guard_paths, kAnyone, {}},
    {"guard", "policy", Kind::table, &B::take_guard_policy, kAnyone, {}},
    {"guard", "timeout_secs", Kind::number, &B::take_timeout, kAnyone, {}},
    {"guard", "default_on_timeout", Kind::text, &B::take_guard_default, kAnyone, {}},
    {"audit", "contents", Kind::flag, &B::take_audit_contents, kAnyone, {}},
    {"audit", "hash_programs", Kind::flag, &B::take_hash_programs, kAnyone, {}},
    {"prompts", "desktop_notifications", Kind::flag, &B::take_accepted, kAnyone,
     "questions are asked where the session is shown, not on a desktop: write false, or remove "
     "this"},
    {"prompts", "auto_deny_timeout_secs", Kind::number, &B::take_timeout, kAnyone, {}},
};
constexpr std::string_view kTables[] = {"limits", "env", "network", "ssh", "guard", "audit", "prompts"};

bool is_table(std::string_view name) {
  return std::ranges::find(kTables, name) != std::end(kTables);
}

std::string needed(Kind kind, std::string_view key) {
  const std::string name(key);
  switch (kind) {
    case Kind::flag:
      return "true or false is needed, without quotes";
    case Kind::number:
      return "a whole number is needed";
    case Kind::text:
      return "a text is needed, in quotes";
    case Kind::list:
      return "a list is needed: " + name + " = [\"...\"]";
    case Kind::table:
      return "a table is needed: [" + name + "]";
    case Kind::other:
      break;
  }
  return "this kind of value has no meaning here";
}

const PolicyKey* find_key(std::string_view table, std::string_view key) {
  const auto found = std::ranges::find_if(
      kKeys, [&](const PolicyKey& row) { return row.table == table && row.key == key; });
  return found == std::end(kKeys) ? nullptr : &*found;
}

std::string unknown_key(std::string_view table, const std::string& key) {
  std::vector<std::string_view> known;
  for (const PolicyKey& row : kKeys) {
    if (row.key == key) {
      return row.table.empty() ? "unknown key: `" + key + "` stands at the top, before any [table]"
                               : "unknown key here: it belongs in [" + std::string(row.table) + "]";
    }
    if (row.table == table) known.push_back(row.key);
  }
  if (table.empty()) {
    std::ranges::copy(kTables, std::back_inserter(known));
    std::ranges::copy(kTopKeys, std::back_inserter(known));
  }
  if (const auto near = nearest_word(key, known); !near.empty()) {
    return "unknown key: did you mean `" + std::string(near) + "`?";
  }
  return "unknown key: remove it; policies/sandbox.schema.json lists those there are";
}

}  // namespace

std::span<const PolicyKey> policy_keys() {
  return kKeys;
}

Taken PolicyBuilder::check_entry(const PolicyKey& row, const PolicyEntry& entry) const {
  if (row.from == PolicyKey::From::host && !is_host()) {
    return refuse(entry.line, "a workspace's file can only tighten: this is for the host's policy");
  }
  const bool idle = (row.kind == Kind::flag || row.kind == Kind::list) && !entry.value.flag &&
                    entry.value.items.empty();
  if (!row.refused.empty() && !idle) return refuse(entry.line, std::string(row.refused));
  if (entry.value.kind != row.kind) return refuse(entry.line, needed(row.kind, row.key));
  return {};
}

Taken PolicyBuilder::check_keys(std::string_view table,
                                const std::vector<PolicyEntry>& entries) const {
  for (const PolicyEntry& entry : entries) {
    if (table.empty() && is_table(entry.key)) {
      if (entry.value.kind != Kind::table) {
        return refuse(entry.line, needed(Kind::table, entry.key));
      }
      if (const Taken taken = check_keys(entry.key, entry.value.entries); !taken) return taken;
      continue;
    }
    if (table.empty() && std::ranges::find(kTopKeys, entry.key) != std::end(kTopKeys)) {
      return refuse(entry.line, "this is for the top of the file, not for a profile");
    }
    const PolicyKey* row = find_key(table, entry.key);
    if (row == nullptr) return refuse(entry.line, unknown_key(table, entry.key));
    if (const Taken taken = check_entry(*row, entry); !taken) return taken;
  }
  return {};
}

Taken PolicyBuilder::take_table(std::string_view table, const std::vector<PolicyEntry>& entries) {
  table_ = table;
  for (const PolicyKey& row : kKeys) {
    if (row.table != table) continue;
    for (const PolicyEntry& entry : entries) {
      if (entry.key != row.key) continue;
      if (const Taken taken = (this->*row.take)(entry); !taken) return taken;
    }
  }
  return {};
}

Taken PolicyBuilder::take(const std::vector<PolicyEntry>& entries) {
  if (const Taken taken = check_keys("", entries); !taken) return taken;
  scope_ = {};
  if (const Taken taken = take_table("", entries); !taken) return taken;
  for (const PolicyEntry& entry : entries) {
    if (!is_table(entry.key)) continue;
    if (const Taken taken = take_table(entry.key, entry.value.entries); !taken) return taken;
  }
  if (const Taken taken = apply_network(); !taken) return taken;
  if (const Taken taken = apply_guard(); !taken) return taken;
  apply_timeout();
  return {};
}

}  // namespace oqto::sandbox
