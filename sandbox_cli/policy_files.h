// Which policy files there are, and what they say. The text is read and parsed by a child that has
// given everything up first: this process only sees bounded values.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "sandbox/policy/explain.h"
#include "sandbox_cli/options.h"
#include "sandbox_cli/user.h"

namespace oqto::sandbox_cli {

constexpr std::string_view kSystemPolicy = "/etc/oqto/sandbox.toml";
constexpr std::string_view kWorkspacePolicy = ".oqto/sandbox.toml";

// One opened policy file.
struct PolicyFile {
  std::string path;
  Fd fd;
};

// Yours or root's, not writable for others, no symbolic link, no more than a policy's length.
Outcome<PolicyFile> open_policy(const User& user, const std::string& path);

struct ParsedFile {
  std::string path;                // empty: built in
  sandbox::ParsedPolicy parsed;    // of the profile that was asked for
  sandbox::HostPolicies profiles;  // of a host's file: what it makes of the built-in ones
  std::vector<std::string> notes;  // "FILE:LINE: what is in order and has no effect"
};

// What to parse: as parse_policy() wants it.
struct PolicyRequest {
  const PolicyFile* file = nullptr;  // null: what is built in
  sandbox::PolicyContext context;
  std::string profile;  // empty: what the file says, or development
};
// One child for all of them, in this order: a file cannot change what was said of those before it.
Outcome<std::vector<ParsedFile>> parse_policies(const std::vector<PolicyRequest>& requests);

// The policy of a sandbox, and from where it comes.
struct EffectivePolicy {
  User user;
  std::string workspace_path;
  sandbox::Policy policy;
  ParsedFile host;
  std::optional<ParsedFile> workspace;
  std::string profile;                       // the name of the host's profile
  std::optional<policies::Network> network;  // from the command line
};
Outcome<EffectivePolicy> load_policy(const Options& options, const User& user,
                                     const Directory& workspace);

sandbox::PolicyContext policy_context(sandbox::PolicySource source, const std::string& name,
                                      const User& user, const std::string& workspace);

// The same as layers, in the order in which they are met.
std::vector<sandbox::PolicyLayer> policy_layers(const EffectivePolicy& policy);

// "policy.toml:7" for the line of the host's or the workspace's file that said `key`, or the name
// of the profile.
std::string origin_of(const EffectivePolicy& policy, std::string_view key);

}  // namespace oqto::sandbox_cli
