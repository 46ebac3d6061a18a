// Response heads, with the security headers that belong to each kind of response. Everything that
// is not the document gets a policy under which it can do nothing, should a browser ever show it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "ipc/messages.h"
#include "relay/asset_pack.h"

namespace oqto::relay {

// How long a browser keeps the cookie; when the login really ends is decided by accounts.
constexpr std::uint32_t kCookieSeconds = 7 * 24 * 3600;
constexpr std::uint32_t kDeviceCookieSeconds = 60 * 24 * 3600;

struct Head {
  std::string text;
  bool close = false;  // the connection ends after this response
};

// `keep_alive` is the client's wish: an error always closes, so that no disagreement about where
// the next request starts can outlive it.
Head asset_head(const Asset& asset, Encoding encoding, bool keep_alive);
Head health_head(std::uint16_t status, std::string_view body, bool keep_alive);
Head auth_head(const ipc::AuthReply& reply, bool logout, bool keep_alive);
Head error_head(std::uint16_t status, std::string_view body, std::string_view allow = {});
Head missing_head();  // of kMissingPage

std::string error_body(std::uint16_t status, std::string_view why);  // {"error", "code"}

// Whoever asks has not signed in: what is wrong, only the operator is told.
extern const std::string_view kAliveBody, kReadyBody, kNotReadyBody;
extern const std::string_view kMissingPage;  // for people who followed a wrong link

}  // namespace oqto::relay
