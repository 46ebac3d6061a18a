// The texts of a model call: what is read from a request's body, and how an error of ours looks to the
// harness.
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "gateway/config.h"

namespace oqto::gateway {

struct BodyFacts {
  std::string model;
  bool stream = false;
};

// The body must be one JSON object that names its model exactly once: two names would let the
// provider serve another model than the one that was checked. The error is a text for people.
std::expected<BodyFacts, std::string> read_body(std::string_view body);

// An error answer in the provider's own shape. `type` is the provider's term.
std::string error_json(ProviderKind kind, std::string_view type, std::string_view message);

}  // namespace oqto::gateway
