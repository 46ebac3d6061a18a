// Policy: what a session may do, as a plain value. Policies form a lattice under meet(): the meet
// of two is at least as strict as either, in every field. The effective policy of a session is
// meet(host policy, what the workspace's file asks for), so a workspace can only tighten.
#pragma once
#include <string>

#include "ipc/messages.h"
#include "policies/profiles.h"

namespace oqto::sandbox {

struct Policy {
  ipc::Profile profile = ipc::Profile::strict;  // a label: the strictest profile that went in
  policies::Network network = policies::Network::isolated;
  std::uint8_t run_own_programs = 0;
  policies::Limits limits;

  // A value outside the table's range does not decode.
  bool fields(auto& io) {
    return io(profile, network, run_own_programs, limits.tmp_bytes, limits.tmp_inodes,
              limits.max_processes, limits.open_files, limits.file_bytes) &&
           in_range();
  }
  [[nodiscard]] bool in_range() const;
  bool operator==(const Policy&) const = default;
};

std::string_view profile_name(ipc::Profile profile);

// A built-in profile.
Policy profile_policy(ipc::Profile profile);

// The top of the lattice: meet(loosest_policy(), p) == p. What an empty policy file asks for.
Policy loosest_policy();

Policy meet(const Policy& a, const Policy& b);

// `a` permits nothing that `b` does not.
bool at_least_as_strict(const Policy& a, const Policy& b);

// One line, one spelling per policy: what the audit log keeps and hashes.
std::string canonical_text(const Policy& policy);

// oqto-policy -> guard: what a policy file asks for. Meet it with the host's policy before use.
struct PolicyParsed {
  static constexpr ipc::Tag kTag = ipc::Tag::policy_parsed;
  static constexpr bool kWithFd = false;
  Policy asked;
  bool fields(auto& io) { return asked.fields(io); }
};

}  // namespace oqto::sandbox
