// What Pi is told about the models: its models.json and settings.json. No key is in them; the
// addresses lead to the session's own model socket.
#pragma once
#include <string>

#include "gateway/config.h"

namespace oqto::gateway {

std::string models_json(const Config& config);
std::string settings_json(const Config& config);

}  // namespace oqto::gateway
