// Policy: what a session may do, as a plain value. Policies form a lattice under meet(): the meet
// of two is at least as strict as either, in every field. The effective policy of a session is
// effective(host, profile, what the workspace's file asks for), so a workspace can only tighten.
//
// A path is written from one of three roots, normalised (no "..", no "//", no trailing slash):
//   "."  or "./a/b"   in the workspace        "~" or "~/a/b"  in the home
//   "/a/b"            anywhere else on the host, shown at the same place inside
// "/" stands for everything, whatever the root: it is the top of a list that grants.
//
// Every session has its workspace, its private home and /tmp to itself, and the system's programs
// read-only; the grants come on top of that, the denials take away from all of it. `ask` stands
// between: what it names is hidden until the session's user (or, with "auto", nobody) was asked,
// whether it would be visible otherwise or not, and the item nearest to a path decides.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "ipc/messages.h"
#include "policies/delegated_fetch.h"
#include "policies/profiles.h"

namespace oqto::sandbox {

using policies::Ask;
constexpr std::size_t kMaxPolicyItem = 512;        // bytes
constexpr std::size_t kMaxFileItems = 128;         // of one list of one file; see fits_one_file()
constexpr std::size_t kMaxFileText = 12 * 1024;    // bytes of canonical_text(), all lists together
// effective() meets at most three files, and no meet is longer than both together.
constexpr std::size_t kMaxPolicyItems = 3 * kMaxFileItems;
constexpr std::size_t kMaxPolicyText = 3 * kMaxFileText;
using PolicyList = ipc::TextList<kMaxPolicyItems, kMaxPolicyItem>;  // sorted, without duplicates

// Lists that grant: meet is the intersection by containment. Lists that deny: meet is the union.
// Neither keeps an item that another one of its list covers.
struct Policy {
  ipc::Profile profile = ipc::Profile::strict;  // a label: the strictest profile that went in
  policies::Network network = policies::Network::isolated;
  Ask unknown_hosts = Ask::deny;
  policies::Cgroups cgroups = policies::Cgroups::required;
  std::uint8_t run_own_programs = 0;
  std::uint8_t hash_programs = 0;  // the record of an exec has the program file's SHA-256: the stricter
  std::uint64_t ask_timeout_s = 60;  // then an unanswered question is a no; the smaller is stricter
  policies::FetchSet delegated_fetch = 0;  // what the model's provider may do for the session
  std::uint8_t audit_contents = 0;  // 1: what goes to the model and tools and comes back is kept in the log
  policies::Limits limits;

  PolicyList allow_read;   // grants: paths of the host, or of the user's real home
  PolicyList allow_write;  // grants: the same, writable too, and so readable
  PolicyList domains;      // grants, of mode `filtered`: "NAME:PORT"; NAME exact, "*.x" (one label
                           // before x) or "**.x" (one or more); "**:*" is the top
  PolicyList env_pass;     // grants: names of variables, with "*" at the end of some; "*" is the top
  PolicyList env_set;      // grants: "NAME=value"; "*" is the top
  PolicyList ask;          // "auto:PATH" or "prompt:PATH": hidden, and read by asking. The meet asks
                           // wherever one of both asks and the other one lets see or ask; what
                           // only one of them shows becomes deny_read
  PolicyList deny_read;    // denies: absent inside
  PolicyList deny_write;   // denies: read-only inside
  PolicyList protect;      // denies: read-only inside, and cannot be created or renamed into place

  // A value outside the table's range, or a list that is not sorted, does not decode; neither does
  // an item that is not in normal form (sandbox/policy/items.h).
  bool fields(auto& io) {
    return io(profile, network, unknown_hosts, cgroups, run_own_programs, hash_programs, ask_timeout_s,
              delegated_fetch, audit_contents,
              limits.memory_bytes, limits.swap_bytes, limits.cpu_percent, limits.io_bytes_per_s,
              limits.max_processes, limits.open_files, limits.file_bytes, limits.tmp_bytes,
              limits.tmp_inodes, limits.wall_clock_s, allow_read, allow_write, domains, env_pass,
              env_set, ask, deny_read, deny_write, protect) &&
           in_range();
  }
  [[nodiscard]] bool in_range() const;
  // What keeps every meet that effective() makes within kMaxPolicyItems and kMaxPolicyText.
  [[nodiscard]] bool fits_one_file() const;
  bool operator==(const Policy&) const = default;
};
constexpr std::uint64_t kMaxAskTimeout = 600;  // seconds

// The operator's word on each built-in profile, in the order of ipc::Profile.
using HostPolicies = std::array<Policy, policies::kProfiles>;

std::string_view profile_name(ipc::Profile profile);

// A built-in profile, and all of them: the host policy of a host that has no file.
Policy profile_policy(ipc::Profile profile);
HostPolicies built_in_policies();

// The top of the lattice: meet(loosest_policy(), p) == p. What an empty workspace file asks for.
Policy loosest_policy();

Policy meet(const Policy& a, const Policy& b);

// What a session of profile `wanted` gets in a workspace that asks for `asked`: the meet of both
// profiles' host policies and of what is asked.
Policy effective(const HostPolicies& host, ipc::Profile wanted, const Policy& asked);

// The same policy with another way out. What a list of names meant for the former is gone.
Policy with_network(Policy policy, policies::Network network);

// `a` permits nothing that `b` does not.
bool at_least_as_strict(const Policy& a, const Policy& b);

// One line, one spelling per policy: what the audit log keeps and hashes.
std::string canonical_text(const Policy& policy);

// `path` is `root` or below it. Both normalised.
bool path_contains(std::string_view root, std::string_view path);

// `rule` ("NAME:PORT") covers `name` (lower case, no trailing dot) at `port`.
bool domain_allows(std::string_view rule, std::string_view name, std::uint16_t port);

// oqto-policy -> guard: one policy file's content. For a workspace's file one message; for the
// host's one per built-in profile, in order.
struct PolicyParsed {
  static constexpr ipc::Tag kTag = ipc::Tag::policy_parsed;
  static constexpr bool kWithFd = false;
  Policy asked;
  bool fields(auto& io) { return asked.fields(io) && asked.fits_one_file(); }
};

}  // namespace oqto::sandbox
