#include "sandbox/policy/explain.h"

#include <algorithm>
#include <iterator>

#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using policies::Ask;
using policies::Network;
using Keys = std::span<const std::string_view>;

constexpr std::string_view kModelName = "models.oqto";  // always answered, never by policy

// What every session has, whatever its policy grants: sandbox/world/layout.cc places it.
struct Base {
  std::string_view path;
  Verdict verdict;
  bool executable;
  std::string_view reason;
};
constexpr Base kBase[] = {
    {".", Verdict::read_write, true, "the session's workspace"},
    {"~", Verdict::read_write, true, "the session's private home, not the user's"},
    {"/tmp", Verdict::read_write, true, "the session's own /tmp, in memory"},
    {"/dev/shm", Verdict::read_write, true, "the session's own shared memory"},
    {"/usr", Verdict::read_only, true, "the system's programs"},
    {"/etc/alternatives", Verdict::read_only, false, "the system's links to programs"},
    {"/proc", Verdict::read_only, false, "the session's own processes"},
    {"/dev", Verdict::read_write, false, "a private /dev: null, zero, full, random, terminals"},
};
// Of /etc only what is made for the session: names that are no secret.
constexpr std::string_view kEtc[] = {
    "/etc/passwd",      "/etc/group",       "/etc/nsswitch.conf",
    "/etc/hosts",       "/etc/resolv.conf", "/etc/hostname",
    "/etc/ld.so.cache", "/etc/localtime",   "/etc/ssl/certs/ca-certificates.crt"};
constexpr std::string_view kSetVariables[] = {"PATH",  "HOME", "USER",  "LOGNAME",
                                              "SHELL", "LANG", "TMPDIR"};

const Base* base_of(std::string_view path) {
  static constexpr Base kEtcFile{"/etc", Verdict::read_only, false, "made for the session"};
  if (path == "/etc" || std::ranges::find(kEtc, path) != std::end(kEtc)) return &kEtcFile;
  const Base* nearest = nullptr;
  for (const Base& base : kBase) {
    const bool nearer = nearest == nullptr || base.path.size() > nearest->path.size();
    if (path_contains(base.path, path) && nearer) nearest = &base;
  }
  return nearest;
}

// --- where a layer says it ---------------------------------------------------------------------

std::string layer_itself(const PolicyLayer& layer) {
  if (layer.parsed.origins.empty() && layer.name.starts_with("profile ")) return layer.name;
  return layer.name + " (profile " + std::string(profile_name(layer.parsed.policy.profile)) + ')';
}

// The line that said `item`, or any that has one of the keys if `item` is empty.
std::string said(const PolicyLayer& layer, Keys keys, std::string_view item = {}) {
  for (const PolicyOrigin& origin : layer.parsed.origins) {
    if (std::ranges::find(keys, origin.key) == keys.end()) continue;
    if (!item.empty() && origin.item != item) continue;
    return layer.name + ':' + std::to_string(origin.line) + ' ' + origin.key;
  }
  return layer_itself(layer);
}
std::string said(const PolicyLayer& layer, std::string_view key, std::string_view item = {}) {
  return said(layer, Keys(&key, 1), item);
}

const std::string* covering(const PolicyList& list, std::string_view path) {
  const auto found = std::ranges::find_if(
      list.values, [&](const std::string& root) { return path_contains(root, path); });
  return found == list.values.end() ? nullptr : &*found;
}

// --- paths -------------------------------------------------------------------------------------

constexpr std::string_view kReadKeys[] = {"allow_read", "extra_ro_bind"};
constexpr std::string_view kWriteKeys[] = {"allow_write", "extra_rw_bind"};
constexpr std::string_view kGuardKeys[] = {"guard.paths", "guard.policy"};

// What is there without questions and denials.
Explanation granted(const PolicyLayer& layer, std::string_view path) {
  const Policy& policy = layer.parsed.policy;
  if (const std::string* root = covering(policy.allow_write, path)) {
    return {Verdict::read_write, said(layer, kWriteKeys, *root), "granted, writable"};
  }
  if (const Base* base = base_of(path)) {
    return {base->verdict, "built in", std::string(base->reason)};
  }
  if (const std::string* root = covering(policy.allow_read, path)) {
    return {Verdict::read_only, said(layer, kReadKeys, *root), "granted, read-only"};
  }
  return {Verdict::absent, said(layer, kReadKeys), "nothing grants it"};
}

Explanation guarded(const PolicyLayer& layer, std::string_view path, Ask how) {
  const auto& items = layer.parsed.policy.ask.values;
  std::string_view nearest;
  for (const std::string& item : items) {
    const std::string_view root = ask_item(item).path;
    if (path_contains(root, path) && root.size() >= nearest.size()) nearest = item;
  }
  return {Verdict::ask, said(layer, kGuardKeys, nearest),
          how == Ask::prompt ? "hidden until the session's user allows it"
                             : "read through the monitor, which records it and asks nobody"};
}

Explanation seen_by(const PolicyLayer& layer, std::string_view path) {
  const Policy& policy = layer.parsed.policy;
  if (const std::string* root = covering(policy.deny_read, path)) {
    for (const PolicyOrigin& origin : layer.parsed.origins) {
      if (origin.key == "guard.policy" && origin.item == "deny:" + *root) {
        return {Verdict::hidden, said(layer, "guard.policy", origin.item), "denied"};
      }
    }
    return {Verdict::hidden, said(layer, "deny_read", *root), "denied: empty in its place"};
  }
  if (const Ask how = asked_for(policy.ask, path); how != Ask::deny) {
    return guarded(layer, path, how);
  }
  Explanation own = granted(layer, path);
  if (own.verdict != Verdict::read_write) return own;
  if (const std::string* root = covering(policy.deny_write, path)) {
    return {Verdict::read_only, said(layer, "deny_write", *root), "denied to write"};
  }
  if (const std::string* root = covering(policy.protect, path)) {
    return {Verdict::read_only, said(layer, "protect", *root),
            "protected: read-only, and cannot be made where it is absent"};
  }
  return own;
}

// For paths in the order of the enumeration; for names: allowed, asked, refused.
int rank(Verdict verdict) {
  return verdict == Verdict::allowed ? -1 : static_cast<int>(verdict);
}

// Of all layers the strictest decides; of several such the first.
template <class Each>
Explanation strictest(std::span<const PolicyLayer> layers, Each&& explain) {
  Explanation all = explain(layers.front());
  for (const PolicyLayer& layer : layers.subspan(1)) {
    Explanation one = explain(layer);
    if (rank(one.verdict) > rank(all.verdict)) all = std::move(one);
  }
  return all;
}

// --- hosts and variables -----------------------------------------------------------------------

// `unlisted`: what becomes of a name that one of the layers does not list.
Explanation host_by(const PolicyLayer& layer, std::string_view name, std::uint16_t port,
                    Ask unlisted) {
  static constexpr std::string_view kModeKeys[] = {"network.mode", "isolate_network"};
  const Policy& policy = layer.parsed.policy;
  if (policy.network == Network::open) {
    return {Verdict::allowed, said(layer, kModeKeys), "the host's network is shared"};
  }
  if (policy.network == Network::isolated) {
    return {Verdict::refused, said(layer, kModeKeys), "the session has no way out of its network"};
  }
  for (const std::string& rule : policy.domains.values) {
    if (!domain_allows(rule, name, port)) continue;
    return {Verdict::allowed, said(layer, "network.allow_domains", rule), "the name is listed"};
  }
  if (unlisted == Ask::prompt) {
    return {Verdict::ask, said(layer, "network.unknown"),
            "not listed: the session's user is asked"};
  }
  return {Verdict::refused, said(layer, "network.allow_domains"), "not among the listed names"};
}

Explanation passed_by(const PolicyLayer& layer, std::string_view name) {
  for (const std::string& rule : layer.parsed.policy.env_pass.values) {
    if (!variable_contains(rule, name)) continue;
    return {Verdict::allowed, said(layer, "env.pass", rule),
            "passed on from the caller, if set there"};
  }
  return {Verdict::refused, said(layer, "env.pass"), "no file passes it on"};
}

}  // namespace

PolicyLayer built_in_layer(ipc::Profile profile) {
  return {"profile " + std::string(profile_name(profile)), {profile_policy(profile), {}}};
}

Policy effective_of(std::span<const PolicyLayer> layers) {
  Policy all = loosest_policy();
  for (const PolicyLayer& layer : layers) all = meet(all, layer.parsed.policy);
  return all;
}

std::string_view verdict_name(Verdict verdict) {
  static constexpr std::string_view kNames[] = {"read-write", "read-only", "ask",    "hidden",
                                                "absent",     "allowed",   "refused"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Verdict::refused) + 1);
  return kNames[static_cast<std::size_t>(verdict)];
}

Explanation explain_path(std::span<const PolicyLayer> layers, std::string_view path) {
  Explanation all =
      strictest(layers, [&](const PolicyLayer& layer) { return seen_by(layer, path); });
  const bool hidden = all.verdict == Verdict::hidden || all.verdict == Verdict::absent;
  if (!hidden && covering(effective_of(layers).deny_read, path) != nullptr) {
    all.verdict = Verdict::hidden;
    all.reason = "one file asks about more than another one shows, which hides all of it";
  }
  return all;
}

Explanation explain_exec(std::span<const PolicyLayer> layers, std::string_view path) {
  Explanation seen = explain_path(layers, path);
  if (seen.verdict != Verdict::read_write && seen.verdict != Verdict::read_only) {
    seen.verdict = Verdict::refused;
    return seen;
  }
  const Base* base = base_of(path);
  if (base != nullptr && !base->executable) {
    return {Verdict::refused, "built in", "nothing is executed from " + std::string(base->path)};
  }
  const bool of_system = base != nullptr && base->verdict == Verdict::read_only;
  if (of_system) return {Verdict::allowed, seen.decided_by, "one of the system's programs"};
  return strictest(layers, [&](const PolicyLayer& layer) -> Explanation {
    const bool own = layer.parsed.policy.run_own_programs != 0;
    return {
        own ? Verdict::allowed : Verdict::refused, said(layer, "run_own_programs"),
        own ? "programs from outside the system may run" : "only the system's programs may run"};
  });
}

Explanation explain_host(std::span<const PolicyLayer> layers, std::string_view name,
                         std::uint16_t port) {
  if (name == kModelName) return {Verdict::allowed, "built in", "the model's own name"};
  const Ask unlisted = effective_of(layers).unknown_hosts;
  return strictest(layers,
                   [&](const PolicyLayer& layer) { return host_by(layer, name, port, unlisted); });
}

Explanation explain_env(std::span<const PolicyLayer> layers, std::string_view name) {
  for (const std::string& setting : effective_of(layers).env_set.values) {
    if (!setting.starts_with(std::string(name) + '=')) continue;
    return strictest(layers, [&](const PolicyLayer& layer) -> Explanation {
      return {Verdict::allowed, said(layer, "env.set", setting), "set: " + setting};
    });
  }
  Explanation passed =
      strictest(layers, [&](const PolicyLayer& layer) { return passed_by(layer, name); });
  if (passed.verdict == Verdict::allowed ||
      std::ranges::find(kSetVariables, name) == std::end(kSetVariables)) {
    return passed;
  }
  return {Verdict::allowed, "built in", "the sandbox sets it itself"};
}

Explanation explain_syscall(std::span<const PolicyLayer> layers, std::string_view name) {
  const Policy policy = effective_of(layers);
  const auto call = policies::describe_syscall(name, policy.run_own_programs != 0);
  Explanation own{Verdict::refused, "built in: " + std::string(call.set), std::string(call.reason)};
  if (call.verdict == policies::CallVerdict::allowed) {
    own.verdict = Verdict::allowed;
    if (call.has_rules) own.reason += "; some of its arguments are refused";
  }
  return own;
}

}  // namespace oqto::sandbox
