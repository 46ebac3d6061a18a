// Decoding one object of a browser strictly, and the envelope that every command comes in.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/command.h"
#include "protocol/json.h"

namespace oqto::protocol {

constexpr std::size_t kMaxId = 128;
constexpr std::size_t kMaxText = 256;  // ids, names of models and the like

// Reads the fields of one object and remembers the first thing that is wrong.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  std::string text(std::string_view key, bool required, std::size_t max = kMaxText) {
    const Json* field = present(key, required);
    if (field == nullptr) return {};
    const std::string* value = field->text();
    if (value == nullptr) return wrong(key, "must be text"), std::string();
    if (value->size() > max) return over(key, max), std::string();
    return *value;
  }
  std::optional<bool> boolean(std::string_view key) {
    const Json* field = present(key, false);
    if (field == nullptr) return std::nullopt;
    if (!field->boolean()) wrong(key, "must be true or false");
    return field->boolean();
  }
  std::optional<std::uint64_t> number(std::string_view key, bool required, std::uint64_t max) {
    const Json* field = present(key, required);
    if (field == nullptr) return std::nullopt;
    const auto value = field->integer();
    if (!value || *value < 0 || static_cast<std::uint64_t>(*value) > max) {
      wrong(key, "must be a whole number from 0 to " + std::to_string(max));
      return std::nullopt;
    }
    return static_cast<std::uint64_t>(*value);
  }
  const Json* present(std::string_view key, bool required) {
    asked_.push_back(key);
    const Json* field = object_.find(key);
    if (field != nullptr && field->is_null()) field = nullptr;
    if (field == nullptr && required) wrong(key, "is missing");
    return field;
  }
  void wrong(std::string_view key, std::string_view what) {
    if (!failure) failure = Failure{Code::bad_request, "field `" + std::string(key) + "` " + std::string(what)};
  }
  void over(std::string_view key, std::size_t max) {
    if (failure) return;
    failure = Failure{Code::limit, "field `" + std::string(key) + "` is longer than " +
                                       std::to_string(max) + " bytes"};
  }

  [[nodiscard]] bool asked_for(std::string_view key) const {
    return std::find(asked_.begin(), asked_.end(), key) != asked_.end();
  }

  std::optional<Failure> failure;

 private:
  const Json& object_;
  std::vector<std::string_view> asked_;  // literals
};

struct Envelope {
  CommandHead head;
  Json json;
};
std::variant<BadFrame, ReservedChannel, BadCommand, Envelope> open_frame(std::string_view text);

}  // namespace oqto::protocol
