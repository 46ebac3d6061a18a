// The texts of a model call: what of a request's body goes to the provider, and how an error of ours looks to
// the harness.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"
#include "policies/delegated_fetch.h"

namespace oqto::gateway {

// Something that would have made the provider fetch or run something, or that nobody here knows.
struct Removed {
  std::string capability;  // policies::fetch_name(), or "unknown"
  std::string member;      // where it stood, as "messages[2].content[1]"; of several alike the first
  std::string host;        // of the address, if there is one
  std::uint64_t count = 1;
};

struct CheckedBody {
  std::string model;
  bool stream = false;
  std::string text;  // written anew from what was checked: nothing else goes to the provider
  std::vector<Removed> removed;
};

struct BodyRules {
  ProviderKind kind{};
  policies::FetchSet allowed = 0;
};

// The body must be one JSON object that names its model exactly once: two names would let the
// provider serve another model than the one that was checked. Only what is known to make a provider answer and
// nothing more is passed on, and what the rules allow. The error is a text for people.
std::expected<CheckedBody, std::string> check_body(std::string_view body, const BodyRules& rules);

// An error answer in the provider's own shape. `type` is the provider's term.
std::string error_json(ProviderKind kind, std::string_view type, std::string_view message);

}  // namespace oqto::gateway
