#include "gateway/pi_files.h"

#include <nlohmann/json.hpp>

namespace oqto::gateway {
namespace {

using Json = nlohmann::ordered_json;

Json model_entry(const Model& model) {
  Json input = Json::array({"text"});
  if (model.images) input.push_back("image");
  return {{"id", model.id},
          {"name", model.name},
          {"reasoning", model.reasoning},
          {"input", std::move(input)},
          {"contextWindow", model.context_window},
          {"maxTokens", model.max_tokens},
          {"cost",
           {{"input", model.input_cost},
            {"output", model.output_cost},
            {"cacheRead", model.cache_read_cost},
            {"cacheWrite", model.cache_write_cost}}}};
}

Json provider_entry(const Provider& provider) {
  const std::string base = "http://models.oqto/" + provider.name;
  Json entry;
  if (provider.kind == ProviderKind::anthropic) {
    entry = {{"baseUrl", base}, {"api", "anthropic-messages"}};
  } else {
    // The role `developer` is OpenAI's alone; `system` is understood by every server of this shape.
    entry = {{"baseUrl", base + "/v1"},
             {"api", "openai-completions"},
             {"compat", {{"supportsDeveloperRole", false}}}};
  }
  entry["apiKey"] = "oqto";  // Pi demands one; the real key never comes here
  entry["models"] = Json::array();
  for (const Model& model : provider.models) entry["models"].push_back(model_entry(model));
  return entry;
}

// Names may hold bytes that are no UTF-8 only if TOML allowed them, which it does not.
std::string written(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string models_json(const Config& config) {
  Json providers = Json::object();
  for (const Provider& provider : config.providers) {
    providers[provider.name] = provider_entry(provider);
  }
  return written({{"providers", std::move(providers)}});
}

std::string settings_json(const Config& config) {
  return written({{"defaultProvider", config.default_provider},
                  {"defaultModel", config.default_model},
                  {"enableInstallTelemetry", false},
                  {"cacheWarming", "off"},
                  {"defaultProjectTrust", "never"},
                  {"retry", {{"enabled", true}, {"maxRetries", 3}, {"baseDelayMs", 1000}}}});
}

}  // namespace oqto::gateway
