// Whatever the file is: a configuration that can be served, or an error with the file's name.
#include "base/result.h"
#include "gateway/config.h"
#include "gateway/pi_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::gateway;
  const auto config = parse_config({reinterpret_cast<const char*>(data), size}, "f");
  if (!config) {
    CHECK(config.error().starts_with("f:"));
    return 0;
  }
  const Provider* provider = config->provider(config->default_provider);
  CHECK(provider != nullptr && provider->model(config->default_model) != nullptr);
  CHECK(!models_json(*config).empty() && !settings_json(*config).empty());
  return 0;
}
