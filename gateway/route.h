// Which provider a request is for. Pure text, no HTTP library.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "gateway/config.h"

namespace oqto::gateway {

struct Route {
  const Provider* provider = nullptr;
  std::string query;  // "" or "?beta=true": nothing else is passed on
};

// Only POST /NAME/v1/chat/completions (openai, demo) and POST /NAME/v1/messages (anthropic).
std::optional<Route> find_route(const Config& config, std::string_view method,
                                std::string_view target);

// A header's value when it is harmless to pass on: short, printable ASCII without spaces; else "".
std::string checked_header(std::string_view value);

}  // namespace oqto::gateway
