#include "gateway/request.h"

#include <strings.h>

#include <nlohmann/json.hpp>

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

// Visits the body without building it: prompts with images are large.
class BodyReader final : public nlohmann::json_sax<Json> {
 public:
  BodyFacts facts;
  bool is_object = false;
  int models = 0;
  int streams = 0;
  bool wrong_type = false;

  bool null() override { return value(); }
  bool boolean(bool flag) override {
    if (wanted_ == Wanted::stream) {
      facts.stream = flag;
      wanted_ = Wanted::nothing;
    }
    return value();
  }
  bool number_integer(std::int64_t) override { return value(); }
  bool number_unsigned(std::uint64_t) override { return value(); }
  bool number_float(double, const std::string&) override { return value(); }
  bool string(std::string& text) override {
    if (wanted_ == Wanted::model) {
      facts.model = text;
      wanted_ = Wanted::nothing;
    }
    return value();
  }
  bool binary(Json::binary_t&) override { return value(); }
  bool start_object(std::size_t) override {
    if (depth_ == 0) is_object = true;
    return open();
  }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (depth_ != 1) return true;
    // There are providers that take "MODEL" for the same key.
    const bool model = ::strcasecmp(name.c_str(), "model") == 0;
    const bool stream = ::strcasecmp(name.c_str(), "stream") == 0;
    models += model;
    streams += stream;
    if (name == "model") wanted_ = Wanted::model;
    if (name == "stream") wanted_ = Wanted::stream;
    if ((model || stream) && wanted_ == Wanted::nothing) wrong_type = true;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  enum class Wanted : std::uint8_t { nothing, model, stream };
  bool value() {
    if (wanted_ != Wanted::nothing) wrong_type = true;
    wanted_ = Wanted::nothing;
    return true;
  }
  bool open() {
    ++depth_;
    return value();
  }
  bool close() {
    --depth_;
    return true;
  }

  Wanted wanted_ = Wanted::nothing;
  std::size_t depth_ = 0;
};

}  // namespace

std::expected<BodyFacts, std::string> read_body(std::string_view body) {
  const auto bad = [](const char* what) { return std::unexpected(std::string(what)); };
  BodyReader reader;
  if (!Json::sax_parse(body, &reader) || !reader.is_object) {
    return bad("the body is not one JSON object");
  }
  if (reader.models != 1 || reader.streams > 1) {
    return bad("the body must name \"model\" exactly once and \"stream\" at most once");
  }
  if (reader.wrong_type) return bad("\"model\" must be a string and \"stream\" a boolean");
  return reader.facts;
}

std::string error_json(ProviderKind kind, std::string_view type, std::string_view message) {
  Json json;
  if (kind == ProviderKind::anthropic) json["type"] = "error";
  json["error"] = {{"type", type}, {"message", message}};
  if (kind != ProviderKind::anthropic) json["error"]["code"] = nullptr;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace oqto::gateway
