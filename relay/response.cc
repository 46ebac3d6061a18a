#include "relay/response.h"

#include "base/encoding.h"

namespace oqto::relay {

#ifndef OQTO_VERSION
#error "the build defines OQTO_VERSION"
#endif
const std::string_view kAliveBody = R"({"status":"ok","version":")" OQTO_VERSION R"("})";
const std::string_view kReadyBody = R"({"ready":true,"status":"ok","version":")" OQTO_VERSION R"("})";
const std::string_view kNotReadyBody = R"({"ready":false})";
const std::string_view kMissingPage =
    "<!doctype html><html lang=\"en\"><title>Not found</title><h1>Not found</h1>"
    "<p>There is nothing at this address. <a href=\"/\">Go to the start page</a></html>\n";

namespace {

constexpr std::string_view kRetrySeconds = "2";  // what is down is started again by then, mostly

constexpr std::string_view kEveryResponse =
    "Strict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cross-Origin-Embedder-Policy: require-corp\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n";

constexpr std::string_view kDocumentOnly =
    "Origin-Agent-Cluster: ?1\r\n"
    "Integrity-Policy: blocked-destinations=(script)\r\n"
    "Permissions-Policy: camera=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), "
    "display-capture=(), microphone=(self), clipboard-read=(self), clipboard-write=(self), "
    "publickey-credentials-get=(self), publickey-credentials-create=(self)\r\n";

constexpr std::string_view kInert =
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n";

constexpr std::string_view kJson =
    "Content-Type: application/json; charset=utf-8\r\n"
    "Cache-Control: no-store\r\n";

std::string_view reason_phrase(std::uint16_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::string_view code_of(std::uint16_t status) {
  switch (status) {
    case 401:
      return "UNAUTHORIZED";
    case 403:
    case 421:
      return "FORBIDDEN";
    case 404:
      return "NOT_FOUND";
    case 409:
      return "CONFLICT";
    case 429:
      return "THROTTLED";
    case 503:
      return "SERVICE_UNAVAILABLE";
    default:
      return status >= 500 && status != 505 ? "INTERNAL_ERROR" : "BAD_REQUEST";
  }
}

void begin(Head& head, std::uint16_t status, bool keep_alive) {
  head.close = !keep_alive || status >= 400;
  head.text.reserve(2048);
  head.text += "HTTP/1.1 ";
  head.text += std::to_string(status);
  head.text += ' ';
  head.text += reason_phrase(status);
  head.text += "\r\n";
  head.text += kEveryResponse;
  head.text += head.close ? "Connection: close\r\n" : "Connection: keep-alive\r\n";
}

void add(Head& head, std::string_view name, std::string_view value) {
  head.text += name;
  head.text += ": ";
  head.text += value;
  head.text += "\r\n";
}

void end(Head& head, std::uint16_t status, std::size_t body_bytes) {
  if (status != 204) add(head, "Content-Length", std::to_string(body_bytes));  // RFC 9110 §8.6
  head.text += "\r\n";
}

void add_cookie(Head& head, std::string_view name, ipc::CookieAction action, const ipc::Token& token,
                std::uint32_t seconds) {
  constexpr std::string_view kAttributes = "; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=";
  if (action == ipc::CookieAction::keep) return;
  const bool set = action == ipc::CookieAction::set;
  head.text += "Set-Cookie: ";
  head.text += name;
  head.text += '=';
  if (set) head.text += to_base64url(token);
  head.text += kAttributes;
  head.text += std::to_string(set ? seconds : 0);
  head.text += "\r\n";
}

}  // namespace

Head asset_head(const Asset& asset, Encoding encoding, bool keep_alive) {
  Head head;
  begin(head, 200, keep_alive);
  if (asset.document()) {
    add(head, "Content-Security-Policy", asset.csp);
    head.text += kDocumentOnly;
    add(head, "Cache-Control", "no-store");
  } else {
    head.text += kInert;
    const bool immutable = (asset.flags & Asset::kImmutable) != 0;
    add(head, "Cache-Control",
        immutable ? "public, max-age=31536000, immutable" : "public, max-age=3600");
  }
  add(head, "Content-Type", asset.content_type);
  add(head, "Vary", "Accept-Encoding");
  if (encoding == Encoding::gzip) add(head, "Content-Encoding", "gzip");
  if (encoding == Encoding::br) add(head, "Content-Encoding", "br");
  end(head, 200, asset.bodies[static_cast<std::size_t>(encoding)].size());
  return head;
}

Head health_head(std::uint16_t status, std::string_view body, bool keep_alive) {
  Head head;
  begin(head, status, keep_alive);
  head.text += kInert;
  head.text += kJson;
  if (status == 503) add(head, "Retry-After", kRetrySeconds);
  end(head, status, body.size());
  return head;
}

Head auth_head(const ipc::AuthReply& reply, bool logout, bool keep_alive) {
  Head head;
  begin(head, reply.status, keep_alive);
  head.text += kInert;
  head.text += kJson;
  add_cookie(head, "__Host-oqto", reply.cookie, reply.token, kCookieSeconds);
  add_cookie(head, "__Host-oqto-device", reply.device_cookie, reply.device, kDeviceCookieSeconds);
  if (logout && reply.cookie == ipc::CookieAction::clear) {
    // Not "cookies": the session's is cleared above, and the device stays known.
    add(head, "Clear-Site-Data", "\"cache\", \"storage\"");
  }
  if (reply.retry_after_s != 0) {
    add(head, "Retry-After", std::to_string(reply.retry_after_s));
  } else if (reply.status == 503) {
    add(head, "Retry-After", kRetrySeconds);
  }
  end(head, reply.status, reply.body.value.size());
  return head;
}

Head error_head(std::uint16_t status, std::string_view body, std::string_view allow) {
  Head head;
  begin(head, status, false);
  head.text += kInert;
  head.text += kJson;
  if (status == 405) add(head, "Allow", allow.empty() ? "GET, HEAD, POST" : allow);
  if (status == 503) add(head, "Retry-After", kRetrySeconds);
  end(head, status, body.size());
  return head;
}

Head missing_head() {
  Head head;
  begin(head, 404, false);
  head.text += kInert;
  add(head, "Content-Type", "text/html; charset=utf-8");
  add(head, "Cache-Control", "no-store");
  end(head, 404, kMissingPage.size());
  return head;
}

std::string error_body(std::uint16_t status, std::string_view why) {
  std::string body = "{\"error\":\"";  // `why` is our own text: it needs no escaping
  body += why;
  body += "\",\"code\":\"";
  body += code_of(status);
  body += "\"}";
  return body;
}

}  // namespace oqto::relay
