// Why something is allowed or not, and what two policies differ in. Pure functions of values: they
// describe what the sandbox enforces and enforce nothing.
#pragma once
#include <span>

#include "policies/session_syscalls.h"
#include "sandbox/policy/toml.h"

namespace oqto::sandbox {

// What goes into an effective policy, in the order in which effective() meets it. Where a host has
// a file it stands for its profile, whose values it holds; a host without one has built_in_layer().
struct PolicyLayer {
  std::string name;  // the file's
  ParsedPolicy parsed;
};
PolicyLayer built_in_layer(ipc::Profile profile);
Policy effective_of(std::span<const PolicyLayer> layers);

enum class Verdict : std::uint8_t {
  read_write,
  read_only,
  ask,     // the session's user is asked, or with "auto" only the record is made
  hidden,  // denied: an empty directory or an unreadable file stands in its place
  absent,  // nothing grants it: it does not exist inside
  allowed,
  refused,
};
std::string_view verdict_name(Verdict verdict);

struct Explanation {
  Verdict verdict{};
  std::string decided_by;  // "FILE:LINE KEY", "profile NAME", "command line" or "built in"
  std::string reason;      // one sentence
};

// `path` in normal form (normal_path()). Says what the policy makes of it, not whether it exists.
Explanation explain_path(std::span<const PolicyLayer> layers, std::string_view path);
Explanation explain_exec(std::span<const PolicyLayer> layers, std::string_view path);
// `name` in lower case without a dot at its end.
Explanation explain_host(std::span<const PolicyLayer> layers, std::string_view name,
                         std::uint16_t port);
Explanation explain_env(std::span<const PolicyLayer> layers, std::string_view name);
Explanation explain_syscall(std::span<const PolicyLayer> layers, std::string_view name);

enum class Stricter : std::uint8_t { first, second, neither };
struct PolicyDifference {
  std::string key;
  std::string first, second;  // what only one of both has of a list; otherwise the values
  Stricter stricter{};
};
std::vector<PolicyDifference> diff(const Policy& first, const Policy& second);

// A host's file for the stand-alone tool that says no more than what `policy` has and the built-in
// profile of its label has not. parse_policy() makes the same policy of it, if the policy came from
// such a file.
std::string to_toml(const Policy& policy);

}  // namespace oqto::sandbox
