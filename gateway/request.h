// The texts of a model call: what is read from a request's body, how an error of ours looks to the
// harness, and how a provider's key is kept out of what is passed inward.
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

// Replaces the key in a stream of bytes, also when it is cut across two pieces. Holds back only
// what may be the beginning of the key. A key shorter than any real one (of a local provider that
// wants none) is left alone: masking it would mangle ordinary words.
class Redactor {
 public:
  static constexpr std::size_t kShortestKey = 8;
  explicit Redactor(std::string key) {
    if (key.size() >= kShortestKey) key_ = std::move(key);
  }
  std::string feed(std::string_view bytes);
  std::string finish();  // what was held back

 private:
  std::string key_;
  std::string held_;
};

}  // namespace oqto::gateway
