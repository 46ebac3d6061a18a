// A policy file as a policy value. Keys that are not known, values of the wrong type, numbers out of
// range and wishes that nothing here can enforce refuse the whole file: a setting that would have no
// effect is an error, never ignored.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/policy/policy.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxPolicyBytes = 64 * 1024;

// Who wrote the file decides what it may say.
enum class PolicySource {
  host,       // the operator's or the user's own: sets what a profile grants
  workspace,  // found beside the code: may only tighten
};

struct PolicyContext {
  std::string name;             // what errors call the file
  PolicySource source = PolicySource::workspace;
  bool hosted = true;           // false: the stand-alone tool, which can enforce other things
  std::string workspace = "/workspace";  // absolute; what "." means, and paths below it
  std::string home = "/home/agent";      // what "~" means, and paths below it
};

// Where in a file something was said, for explaining verdicts.
struct PolicyOrigin {
  std::string key;   // "deny_read", "network.allow_domains", "limits.tmp_bytes" ...
  std::string item;  // of a list: the normalised item; otherwise the value
  std::size_t line = 0;
};

// What is in order and yet has no effect, in words for whoever wrote it.
struct PolicyNote {
  std::size_t line = 0;
  std::string what;
  bool operator==(const PolicyNote&) const = default;
};

struct ParsedPolicy {
  Policy policy;
  std::vector<PolicyOrigin> origins;
  std::vector<PolicyNote> notes{};
};

// The error is "NAME:LINE: `the line`: what to do", at most 480 bytes of UTF-8 without control
// characters. `profile` is the name of a built-in profile or of one that the file defines, or empty:
// the one that the file's own `profile` names, or development; it matters for a host's file only. An
// empty text is the built-in profile (host) or loosest_policy() (workspace).
//
// A host's file: keys at the top adjust whichever profile is chosen, after what its [profiles.NAME]
// says; a list takes the place of the profile's list. What [profiles.NAME] omits is as in the
// built-in profile of that name, or else in development. `profile` caps: the result is the meet with
// the profile that it names.
// A workspace's file: each key tightens loosest_policy(), and `profile` sets the label, with which
// effective() meets the host's profile of that name.
std::expected<ParsedPolicy, std::string> parse_policy(std::string_view text,
                                                      const PolicyContext& context,
                                                      std::string_view profile = "development");

}  // namespace oqto::sandbox
