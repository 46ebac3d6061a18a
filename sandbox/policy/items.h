// The normal form of what a policy's lists hold. The guard checks values from the parser with
// these, so they look at bounded bytes once and keep nothing.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "policies/profiles.h"

namespace oqto::sandbox {

// ".", "~", "./a/b", "~/a/b" or "/a/b": UTF-8 without control characters, no empty, "." or ".."
// component, at most kMaxPolicyItem bytes. "/" only where a list has a top.
bool is_policy_path(std::string_view text);
bool is_denied_path(std::string_view text);     // not "/"
bool is_protected_path(std::string_view text);  // "./a/b": in the workspace, and not all of it

// "NAME:PORT", lower case, or "**:*". A name is two labels or more, or "*." or "**." and one or
// more; not an address.
bool is_domain_rule(std::string_view text);
bool is_host_name(std::string_view text);  // NAME of the above, without a pattern

bool is_variable_name(std::string_view text);     // [A-Za-z_][A-Za-z0-9_]*
bool is_variable_pattern(std::string_view text);  // the same, or with "*" at its end, or "*"
bool is_setting(std::string_view text);           // "NAME=value", or "*"

struct AskItem {
  policies::Ask how = policies::Ask::deny;
  std::string_view path;
};
bool is_ask_item(std::string_view text);
AskItem ask_item(std::string_view text);  // Ask::deny and no path if it is none
std::string ask_text(policies::Ask how, std::string_view path);

}  // namespace oqto::sandbox
