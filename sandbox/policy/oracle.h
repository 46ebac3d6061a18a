// Answers concrete questions about policies, for tests of the merge. Written from the description
// of the format, not from the merge: it shares no code with it, and never combines two policies.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "sandbox/policy/toml.h"

namespace oqto::sandbox::oracle {

using Texts = std::vector<std::string>;

// How much of a path: the greater is looser.
enum class Access { none, asked, recorded, read, write };
// Whether a name at a port is reached.
enum class Reach { no, asked, yes };

// --- of a value ---------------------------------------------------------------------------------

Access access(const Policy& policy, const std::string& path);
Reach reach(const Policy& policy, const std::string& name, int port);
bool passes(const Policy& policy, const std::string& variable);

// --- of a file, as it was written ---------------------------------------------------------------

// What one table that is a policy says; absent: it does not say.
struct Said {
  std::optional<Texts> allow_read, allow_write, deny_read, deny_write, protect, env_pass, domains;
  std::optional<std::string> mode;     // network.mode
  std::optional<std::string> unknown;  // network.unknown; only with mode "filtered"
  bool isolate_network = false;
  std::optional<bool> run_own_programs, hash_programs;
  std::optional<std::map<std::string, std::string>> guard;  // path to "auto", "prompt", "deny"
  std::optional<int> timeout;
  std::map<std::string, std::uint64_t> limits;
  std::optional<std::string> cgroups;
};
struct File {
  std::optional<std::string> profile;
  Said flat;
  std::map<std::string, Said> profiles;
};

File random_host(std::mt19937_64& random);
File random_workspace(std::mt19937_64& random);
std::string toml(const File& file);

// What the host's file makes of a built-in profile, ignoring `profile`; a workspace's file says
// `flat` on top of nothing.
Said resolved(const File& host, const std::string& profile);
Access access(const Said& said, bool host, const std::string& path);
Reach reach(const Said& said, bool host, const std::string& name, int port);
bool passes(const Said& said, bool host, const std::string& variable);

// --- what is asked about ------------------------------------------------------------------------

const Texts& paths();
const Texts& names();
const Texts& variables();
inline constexpr std::array kPorts = {80, 443, 8443};

Policy random_value(std::mt19937_64& random);

}  // namespace oqto::sandbox::oracle
