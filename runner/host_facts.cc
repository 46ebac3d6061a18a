#include "runner/host_facts.h"

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "protocol/json.h"

namespace oqto::runner {
namespace {

using protocol::Json;

constexpr std::array kProfiles{"minimal", "development", "strict"};

void add_models(const std::string& provider, const Json& entry, std::vector<protocol::ModelInfo>& all) {
  const Json* list = entry.find("models");
  if (list == nullptr || list->array() == nullptr) return;
  for (const Json& model : *list->array()) {
    const std::string id(model.text_at("id"));
    if (id.empty()) continue;
    const std::string_view name = model.text_at("name");
    const Json* input = model.find("input");
    const bool images = input != nullptr && input->array() != nullptr &&
                        std::ranges::any_of(*input->array(), [](const Json& kind) {
                          return kind.text() != nullptr && *kind.text() == "image";
                        });
    all.push_back({id, name.empty() ? id : std::string(name), provider, model.boolean_at("reasoning"), images});
  }
}

}  // namespace

Result<TakenFacts> take_host_facts(const ipc::HostFacts& facts, const Fd& models) {
  const Json file = TRY(protocol::parse_json(TRY(sys::read_all(models, kMaxModelsBytes))));
  const Json* providers = file.find("providers");
  if (providers == nullptr || providers->object() == nullptr) {
    return fail(Errc::bad_message, "the models file has no providers");
  }
  TakenFacts taken;
  for (const auto& [name, entry] : *providers->object()) add_models(name, entry, taken.models);
  for (const std::string_view name : kProfiles) {
    protocol::ProfileFact& fact = taken.profiles.emplace_back(std::string(name));
    const std::string prefix = std::string(name) + ": ";
    for (const std::string& text : facts.unavailable.values) {
      if (!text.starts_with(prefix)) continue;
      fact.available = false;
      fact.why = text.substr(prefix.size());
    }
  }
  return taken;
}

}  // namespace oqto::runner
