// A policy from the keys of a file: each adjusts the policy that the builder began with. What a key
// does to a host's policy and to a workspace's wish is the same, since the latter begins at the
// top.
#pragma once
#include <optional>
#include <span>

#include "sandbox/policy/document.h"
#include "sandbox/policy/words.h"

namespace oqto::sandbox {

using Taken = std::expected<void, PolicyRefusal>;

class PolicyBuilder;

// One row per key of the format; policies/sandbox.schema.json describes the same keys.
struct PolicyKey {
  std::string_view table;  // empty: at the top or in [profiles.NAME]
  std::string_view key;
  PolicyNode::Kind kind{};
  Taken (PolicyBuilder::*take)(const PolicyEntry& entry) = nullptr;
  enum class From : std::uint8_t { anyone, host } from = From::anyone;
  std::string_view refused;  // not empty: why nothing enforces it, unless it is false or empty
};
std::span<const PolicyKey> policy_keys();
constexpr std::string_view kTopKeys[] = {"enabled", "profile", "profiles"};  // not in a profile

class PolicyBuilder {
 public:
  PolicyBuilder(Policy base, const PolicyContext& context)
      : policy_(std::move(base)), context_(context) {}

  // All keys of one table that is a policy; later calls adjust what earlier ones made.
  Taken take(const std::vector<PolicyEntry>& entries);

  // Nothing contradicts, everything is within bounds. Call it last.
  std::expected<ParsedPolicy, PolicyRefusal> finish() &&;

  // The keys' own functions; PolicyKey names them.
  Taken take_path_list(const PolicyEntry& entry);
  Taken take_bind_list(const PolicyEntry& entry);
  Taken take_accepted(const PolicyEntry& entry);
  Taken take_mode_word(const PolicyEntry& entry);
  Taken take_own_programs(const PolicyEntry& entry);
  Taken take_hash_programs(const PolicyEntry& entry);
  Taken take_isolate_network(const PolicyEntry& entry);
  Taken take_network_mode(const PolicyEntry& entry);
  Taken take_domains(const PolicyEntry& entry);
  Taken take_unknown_hosts(const PolicyEntry& entry);
  Taken take_delegated_fetch(const PolicyEntry& entry);
  Taken take_audit_contents(const PolicyEntry& entry);
  Taken take_limit(const PolicyEntry& entry);
  Taken take_cgroups(const PolicyEntry& entry);
  Taken take_env_pass(const PolicyEntry& entry);
  Taken take_env_set(const PolicyEntry& entry);
  Taken take_guard_enabled(const PolicyEntry& entry);
  Taken take_guard_paths(const PolicyEntry& entry);
  Taken take_guard_policy(const PolicyEntry& entry);
  Taken take_guard_default(const PolicyEntry& entry);
  Taken take_timeout(const PolicyEntry& entry);

 private:
  // What has to be seen together before it means something: of one call of take().
  struct Scope {
    std::optional<policies::Network> mode;
    std::optional<std::size_t> isolated_at, shared_at, domains_at, unknown_at, guarded_at;
    std::vector<std::string> domains;
    std::optional<policies::Ask> unknown;
    std::optional<bool> guard_enabled;
    struct Guarded {
      std::string path;
      policies::Ask how;
      std::size_t line;
    };
    std::vector<Guarded> guarded, guard_words;
    std::optional<std::uint64_t> timeout;
  };
  using Lines = std::vector<const PolicyOrigin*>;

  Taken check_keys(std::string_view table, const std::vector<PolicyEntry>& entries) const;
  Taken take_table(std::string_view table, const std::vector<PolicyEntry>& entries);
  Taken check_entry(const PolicyKey& row, const PolicyEntry& entry) const;
  Taken apply_network();
  void apply_shared_network();
  Taken apply_guard();
  Taken apply_guard_words();
  void guard(const Scope::Guarded& path, std::string_view key);
  void apply_timeout();
  Taken check_contradictions() const;
  Taken check_pairs(const Lines& granted, const Lines& denied, std::string_view what) const;
  [[nodiscard]] Lines said(std::initializer_list<std::string_view> keys) const;

  [[nodiscard]] Taken check_hosted(const PolicyEntry& entry) const;
  Taken take_texts(const PolicyEntry& entry);
  Taken take_paths(const PolicyEntry& entry, PathUse use, PolicyList& list);
  void say(std::string_view key, std::string item, std::size_t line);
  void note(std::size_t line, std::string what);
  void forget(std::initializer_list<std::string_view> keys);
  [[nodiscard]] bool is_host() const { return context_.source == PolicySource::host; }

  Policy policy_;
  const PolicyContext& context_;
  std::vector<PolicyOrigin> origins_;
  std::vector<PolicyNote> notes_;
  std::vector<std::string> guard_denied_;  // as deny_read, but not replaced with it
  Scope scope_;
  std::string_view table_;  // in which the current entry stands
};

inline std::unexpected<PolicyRefusal> refuse(std::size_t line, std::string what) {
  return std::unexpected(PolicyRefusal{line, std::move(what)});
}

}  // namespace oqto::sandbox
