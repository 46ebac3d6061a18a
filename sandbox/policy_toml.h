// A policy file as a policy value. Keys that are not known, values of the wrong type and numbers
// out of range refuse the whole file: a setting that would have no effect is an error, never
// ignored.
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "sandbox/policy.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxPolicyBytes = 64 * 1024;

// The error is "NAME:LINE: `the line`: what to do". An empty text asks for nothing:
// loosest_policy().
std::expected<Policy, std::string> parse_policy(std::string_view text, std::string_view name);

}  // namespace oqto::sandbox
