#include "relay/route.h"

#include <algorithm>
#include <array>

namespace oqto::relay {
namespace {

using ipc::AuthEndpoint;

struct AuthPath {
  bool post;
  std::string_view path;
  AuthEndpoint endpoint;
};
constexpr auto kAuthPaths = std::to_array<AuthPath>({
    {false, "/api/auth/state", AuthEndpoint::state},
    {true, "/api/auth/setup", AuthEndpoint::setup},
    {true, "/api/auth/login", AuthEndpoint::login},
    {true, "/api/auth/register", AuthEndpoint::register_user},
    {true, "/api/auth/logout", AuthEndpoint::logout},
    {false, "/api/me", AuthEndpoint::me},
    {false, "/api/auth/invites", AuthEndpoint::list_invites},
    {true, "/api/auth/invites", AuthEndpoint::create_invite},
    {true, "/api/auth/invites/revoke", AuthEndpoint::revoke_invite},
    {true, "/api/auth/password", AuthEndpoint::change_password},
    {true, "/api/auth/reset", AuthEndpoint::reset_password},
    {false, "/api/auth/logins", AuthEndpoint::list_logins},
    {true, "/api/auth/logins/end", AuthEndpoint::end_logins},
});

const Site* find_site(std::string_view authority, std::span<const Site> sites) {
  for (const Site& site : sites) {
    if (site.authority == authority) return &site;
  }
  return nullptr;
}

constexpr const char* kNothing = "there is nothing at this address";

// There is nothing of this path, or not for this method.
Rejection reject_method(std::string_view path) {
  bool get = false;
  bool post = false;
  for (const AuthPath& entry : kAuthPaths) {
    if (entry.path == path) (entry.post ? post : get) = true;
  }
  if (get && post) return {405, "only GET and POST are allowed here", "GET, POST"};
  if (get) return {405, "only GET is allowed here", "GET"};
  if (post) return {405, "only POST is allowed here", "POST"};
  return {404, kNothing};
}

Route route_health(const Request& request, bool only_alive) {
  if (request.method == Method::post) return Rejection{405, "only GET and HEAD are allowed here", "GET, HEAD"};
  return HealthRoute{only_alive};
}

bool is_api(std::string_view path) {
  return path == "/api" || path.starts_with("/api/");
}
bool is_mux(std::string_view path) {
  return path == "/ws/mux" || path == "/api/ws/mux";
}

Route route_mux(const Request& request, const Site& site) {
  if (request.method != Method::get) return Rejection{405, "only GET is allowed here", "GET"};
  if (!request.upgrade) return Rejection{400, "this path is for WebSocket upgrades only"};
  if (request.websocket_version != "13") return Rejection{400, "unknown WebSocket version"};
  if (!list_contains(request.websocket_protocols, kMuxProtocol)) {
    return Rejection{400, "the subprotocol host.mux.v1 must be offered"};
  }
  if (request.origin != site.origin) return Rejection{403, "this origin is not allowed"};
  if (request.fetch_site.value_or("same-origin") != "same-origin" ||
      request.fetch_mode.value_or("websocket") != "websocket") {
    return Rejection{403, "only this site's own pages may connect"};
  }
  return MuxRoute{site.origin, site.authority};
}

Route route_post(const Request& request, const Site& site) {
  if (request.path == "/api/health") return route_health(request, false);
  const auto* found = std::ranges::find_if(
      kAuthPaths, [&](const AuthPath& entry) { return entry.post && entry.path == request.path; });
  if (found == kAuthPaths.end()) return reject_method(request.path);
  if (request.origin != site.origin) return Rejection{403, "this origin is not allowed"};
  if (request.fetch_site.value_or("same-origin") != "same-origin") {
    return Rejection{403, "only this site's own pages may post"};
  }
  // A form or a text/plain body can be sent across sites without a preflight; JSON cannot.
  const std::string_view type = request.content_type.value_or("");
  if (type != "application/json" && type != "application/json; charset=utf-8" &&
      type != "application/json;charset=utf-8") {
    return Rejection{415, "the body must be application/json"};
  }
  return AuthRoute{found->endpoint};
}

Route route_api_get(const Request& request) {
  const std::string_view site = request.fetch_site.value_or("same-origin");
  if (site != "same-origin" && site != "none") {
    return Rejection{403, "only this site's own pages may ask"};
  }
  if (request.path == "/api/health") return route_health(request, false);
  for (const AuthPath& entry : kAuthPaths) {
    if (!entry.post && entry.path == request.path && request.method == Method::get) return AuthRoute{entry.endpoint};
  }
  return reject_method(request.path);
}

// Links from elsewhere may open the document as a page, never as a frame or a sub-resource.
Route route_asset(const Request& request) {
  const std::string_view site = request.fetch_site.value_or("none");
  const bool own = site == "same-origin" || site == "none";
  const bool page = request.fetch_mode.value_or("") == "navigate" &&
                    request.fetch_dest.value_or("") == "document";
  if (!own && !page) return Rejection{403, "only this site's own pages may load this"};
  return AssetRoute{};
}

}  // namespace

Result<Site> Site::parse(std::string_view origin) {
  constexpr std::string_view kScheme = "https://";
  if (!origin.starts_with(kScheme)) return fail(Errc::invalid, "an origin starts with https://");
  const std::string_view authority = origin.substr(kScheme.size());
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':' ||
           c == '[' || c == ']';
  };
  if (authority.empty() || authority.size() > 255 || !std::ranges::all_of(authority, is_allowed) ||
      authority.ends_with(":443") || authority.ends_with(':')) {
    return fail(Errc::invalid,
                "an origin is https://HOST[:PORT] as browsers send it: lower case, no :443");
  }
  return Site{std::string(origin), std::string(authority)};
}

Route route(const Request& request, std::span<const Site> sites) {
  const Site* site = find_site(request.host, sites);
  if (site == nullptr) return Rejection{421, "this host name is not served here"};
  const bool dynamic = is_api(request.path) || request.path.starts_with("/ws/");
  if (dynamic && request.has_query) return Rejection{400, "this address takes no query"};
  if (is_mux(request.path)) return route_mux(request, *site);
  if (request.upgrade) return Rejection{400, "nothing to upgrade to at this address"};
  if (request.path == "/health") return route_health(request, true);
  if (request.path.starts_with("/ws/")) return Rejection{404, kNothing};
  if (is_api(request.path)) return request.method == Method::post ? route_post(request, *site) : route_api_get(request);
  return route_asset(request);
}

}  // namespace oqto::relay
