// A policy as the file that makes it, and the difference of two.
#include <algorithm>

#include "sandbox/policy/explain.h"
#include "sandbox/policy/lists.h"

namespace oqto::sandbox {
namespace {

using Items = std::vector<std::string>;
using policies::Network;

// A TOML basic string.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string list(const Items& items) {
  if (items.size() <= 1) return items.empty() ? "[]" : '[' + quoted(items[0]) + ']';
  std::string out = "[\n";
  for (const std::string& item : items) out += "  " + quoted(item) + ",\n";
  return out + ']';
}

class Writer {
 public:
  Writer(const Policy& policy, const Policy& base) : policy_(policy), base_(base) {}

  std::string text() {
    out_ = "profile = " + quoted(profile_name(policy_.profile)) + '\n';
    paths("allow_read", &Policy::allow_read);
    paths("allow_write", &Policy::allow_write);
    paths("deny_read", &Policy::deny_read);
    paths("deny_write", &Policy::deny_write);
    paths("protect", &Policy::protect);
    if (policy_.run_own_programs != base_.run_own_programs) {
      line("run_own_programs", policy_.run_own_programs != 0 ? "true" : "false");
    }
    network();
    limits();
    table_ = "audit";
    if (policy_.audit_contents != base_.audit_contents) {
      line("contents", policy_.audit_contents != 0 ? "true" : "false");
    }
    if (policy_.hash_programs != base_.hash_programs) {
      line("hash_programs", policy_.hash_programs != 0 ? "true" : "false");
    }
    environment();
    guard();
    return std::move(out_);
  }

 private:
  void line(std::string_view key, std::string_view value) {
    if (!table_.empty()) out_ += "\n[" + std::string(std::exchange(table_, {})) + "]\n";
    out_ += std::string(key) + " = " + std::string(value) + '\n';
  }
  void paths(std::string_view key, PolicyList Policy::*items) {
    if (policy_.*items != base_.*items) line(key, list((policy_.*items).values));
  }

  void network() {
    table_ = "network";
    const bool filtered = policy_.network == Network::filtered;
    if (policy_.network != base_.network || filtered) {
      line("mode", quoted(policies::network_name(policy_.network)));
    }
    if (filtered) line("allow_domains", list(policy_.domains.values));
    if (filtered && policy_.unknown_hosts == policies::Ask::prompt) line("unknown", "\"prompt\"");
    if (policy_.delegated_fetch != base_.delegated_fetch) {
      Items names;
      for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(policies::Fetch::kEnd); ++i) {
        const auto fetch = static_cast<policies::Fetch>(i);
        if ((policy_.delegated_fetch & policies::fetch_bit(fetch)) != 0) names.emplace_back(policies::fetch_name(fetch));
      }
      line("delegated_fetch", list(names));
    }
  }

  void limits() {
    table_ = "limits";
    if (policy_.cgroups != base_.cgroups) {
      line("cgroups", quoted(policies::cgroups_name(policy_.cgroups)));
    }
    for (const policies::LimitRow& row : policies::kLimitRows) {
      const std::uint64_t value = policy_.limits.*row.value;
      if (value != base_.limits.*row.value) line(row.key, std::to_string(value));
    }
  }

  void environment() {
    table_ = "env";
    if (policy_.env_pass != base_.env_pass) line("pass", list(policy_.env_pass.values));
    table_ = policy_.env_set.values.empty() ? "" : "env.set";
    for (const std::string& setting : policy_.env_set.values) {
      const std::size_t equals = setting.find('=');
      line(setting.substr(0, equals), quoted(std::string_view(setting).substr(equals + 1)));
    }
  }

  void guard() {
    table_ = "guard";
    Items all;
    for (const std::string& item : policy_.ask.values) all.emplace_back(ask_item(item).path);
    if (!all.empty()) {
      line("enabled", "true");
      line("paths", list(all));
    }
    if (policy_.ask_timeout_s != base_.ask_timeout_s) {
      line("timeout_secs", std::to_string(policy_.ask_timeout_s));
    }
    table_ = "guard.policy";
    for (const std::string& item : policy_.ask.values) {
      const AskItem ask = ask_item(item);
      line(quoted(ask.path), quoted(policies::ask_name(ask.how)));
    }
  }

  const Policy& policy_;
  const Policy& base_;
  std::string out_;
  std::string_view table_;  // to be opened by the next line
};

// --- differences -------------------------------------------------------------------------------

std::string joined(const Items& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out.empty() ? "-" : out;
}

Items only_in(const Items& a, const Items& b) {
  Items only;
  std::ranges::set_difference(a, b, std::back_inserter(only));
  return only;
}

class Differences {
 public:
  Differences(const Policy& first, const Policy& second) : first_(first), second_(second) {}

  std::vector<PolicyDifference> all() {
    word("profile", std::string(profile_name(first_.profile)),
         std::string(profile_name(second_.profile)), first_.profile > second_.profile);
    word("network.mode", std::string(network_name(first_.network)),
         std::string(network_name(second_.network)), first_.network > second_.network);
    word("network.unknown", std::string(ask_name(first_.unknown_hosts)),
         std::string(ask_name(second_.unknown_hosts)),
         first_.unknown_hosts > second_.unknown_hosts);
    word("limits.cgroups", std::string(cgroups_name(first_.cgroups)),
         std::string(cgroups_name(second_.cgroups)), first_.cgroups > second_.cgroups);
    word("run_own_programs", first_.run_own_programs != 0 ? "true" : "false",
         second_.run_own_programs != 0 ? "true" : "false", first_.run_own_programs == 0);
    word("network.delegated_fetch", policies::fetch_names(first_.delegated_fetch),
         policies::fetch_names(second_.delegated_fetch),
         (first_.delegated_fetch & ~second_.delegated_fetch) == 0);
    word("audit.contents", first_.audit_contents != 0 ? "true" : "false",
         second_.audit_contents != 0 ? "true" : "false", first_.audit_contents != 0);
    word("audit.hash_programs", first_.hash_programs != 0 ? "true" : "false",
         second_.hash_programs != 0 ? "true" : "false", first_.hash_programs != 0);
    number("guard.timeout_secs", first_.ask_timeout_s, second_.ask_timeout_s);
    for (const policies::LimitRow& row : policies::kLimitRows) {
      number("limits." + std::string(row.key), first_.limits.*row.value, second_.limits.*row.value);
    }
    for (const PolicyListRow& row : kPolicyLists) list(row);
    return std::move(all_);
  }

 private:
  void word(std::string key, std::string a, std::string b, bool first_is_stricter) {
    if (a == b) return;
    all_.push_back({std::move(key), std::move(a), std::move(b),
                    first_is_stricter ? Stricter::first : Stricter::second});
  }
  void number(std::string key, std::uint64_t a, std::uint64_t b) {
    word(std::move(key), std::to_string(a), std::to_string(b), a < b);
  }

  // Two policies that are alike but for this list, and what their meet says.
  void list(const PolicyListRow& row) {
    const PolicyList &a = first_.*row.list, &b = second_.*row.list;
    if (a == b) return;
    Policy one = first_, other = first_;
    other.*row.list = b;
    if (row.list == &Policy::domains) {
      one.network = other.network = Network::filtered;
    }
    Stricter stricter = Stricter::neither;
    if (at_least_as_strict(one, other)) {
      stricter = Stricter::first;
    } else if (at_least_as_strict(other, one)) {
      stricter = Stricter::second;
    }
    all_.push_back({std::string(key_of(row)), joined(only_in(a.values, b.values)),
                    joined(only_in(b.values, a.values)), stricter});
  }

  static std::string_view key_of(const PolicyListRow& row) {
    if (row.list == &Policy::domains) return "network.allow_domains";
    if (row.list == &Policy::env_pass) return "env.pass";
    if (row.list == &Policy::env_set) return "env.set";
    return row.list == &Policy::ask ? "guard.paths" : row.name;
  }

  const Policy& first_;
  const Policy& second_;
  std::vector<PolicyDifference> all_;
};

}  // namespace

std::string to_toml(const Policy& policy) {
  const Policy base = profile_policy(policy.profile);
  return Writer(policy, base).text();
}

std::vector<PolicyDifference> diff(const Policy& first, const Policy& second) {
  return Differences(first, second).all();
}

}  // namespace oqto::sandbox
