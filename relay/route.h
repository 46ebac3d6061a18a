// What a well-formed request asks for, and whether this browser page may ask it: Host, Origin and
// Sec-Fetch rules, then one table of paths.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "ipc/messages.h"
#include "relay/http_gate.h"

namespace oqto::relay {

// One exact name of this host, e.g. {"https://oqto.example", "oqto.example"}.
struct Site {
  std::string origin;
  std::string authority;
  // Only `https://HOST[:PORT]` in the spelling that browsers send: lower case, no default port.
  static Result<Site> parse(std::string_view origin);
};

struct HealthRoute {
  bool only_alive = false;  // the relay answers; else whether the host could serve
};
struct AssetRoute {};  // the path is looked up in the pack, and there is nothing beside it
struct AuthRoute {
  ipc::AuthEndpoint endpoint{};
};
struct MuxRoute {
  std::string_view origin;  // both are entries of the site table, not the request's bytes
  std::string_view authority;
};
struct Rejection {
  std::uint16_t status = 0;
  const char* why = "";
  std::string_view allow = {};  // with 405: the methods that this address takes
};
using Route = std::variant<HealthRoute, AssetRoute, AuthRoute, MuxRoute, Rejection>;

constexpr std::string_view kMuxProtocol = "host.mux.v1";

Route route(const Request& request, std::span<const Site> sites);

}  // namespace oqto::relay
