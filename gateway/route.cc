#include "gateway/route.h"

#include <algorithm>

namespace oqto::gateway {

std::optional<Route> find_route(const Config& config, std::string_view method,
                                std::string_view target) {
  if (method != "POST" || !target.starts_with('/')) return {};
  target.remove_prefix(1);
  const std::size_t slash = target.find('/');
  if (slash == std::string_view::npos) return {};
  Route route;
  route.provider = config.provider(target.substr(0, slash));
  if (route.provider == nullptr) return {};
  std::string_view path = target.substr(slash);
  if (route.provider->kind != ProviderKind::anthropic) {
    if (path != "/v1/chat/completions") return {};
    return route;
  }
  constexpr std::string_view kBeta = "?beta=true";
  if (path.ends_with(kBeta)) {
    route.query = kBeta;
    path.remove_suffix(kBeta.size());
  }
  if (path != "/v1/messages") return {};
  return route;
}

std::string checked_header(std::string_view value) {
  constexpr std::size_t kMaxBytes = 512;
  const bool harmless = value.size() <= kMaxBytes && std::ranges::all_of(value, [](char c) {
                          return c > 0x20 && c < 0x7f;
                        });
  return harmless ? std::string(value) : std::string();
}

}  // namespace oqto::gateway
