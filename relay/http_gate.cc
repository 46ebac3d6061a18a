#include "relay/http_gate.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace oqto::relay {
namespace {

using Kind = GateResult::Kind;

constexpr std::string_view kCookieName = "__Host-oqto=";
constexpr std::string_view kDeviceCookieName = "__Host-oqto-device=";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_token_char(char c) {  // RFC 9110 §5.6.2
  return is_digit(c) || is_alpha(c) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_target_char(char c) {  // RFC 3986: pchar, "/" and "?"
  return is_digit(c) || is_alpha(c) ||
         std::string_view("-._~!$&'()*+,;=:@/?").find(c) != std::string_view::npos;
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool same_name(std::string_view text, std::string_view lower_case) {
  return std::ranges::equal(text, lower_case, {}, lower);
}
std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes the text up to `separator` off the front of `rest`.
std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return taken;
}

// Fields that may occur once only: twice is how two servers are made to disagree.
enum Known : std::uint8_t {
  kHost,
  kContentLength,
  kConnection,
  kUpgrade,
  kOrigin,
  kCookie,
  kFetchSite,
  kFetchMode,
  kFetchDest,
  kContentType,
  kAcceptEncoding,
  kWsKey,
  kWsVersion,
  kWsProtocol,
  kUserAgent,
  kKnownCount
};
constexpr std::array<std::string_view, kKnownCount> kKnownNames = {"host",
                                                                   "content-length",
                                                                   "connection",
                                                                   "upgrade",
                                                                   "origin",
                                                                   "cookie",
                                                                   "sec-fetch-site",
                                                                   "sec-fetch-mode",
                                                                   "sec-fetch-dest",
                                                                   "content-type",
                                                                   "accept-encoding",
                                                                   "sec-websocket-key",
                                                                   "sec-websocket-version",
                                                                   "sec-websocket-protocol",
                                                                   "user-agent"};

class Parser {
 public:
  explicit Parser(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  GateResult run() {
    if (parse()) {
      result_.kind = Kind::accepted;
      result_.head_bytes = size_ - rest_.size();
    }
    return result_;
  }

 private:
  enum class Line : std::uint8_t { complete, stopped };

  bool refuse(std::uint16_t status, const char* why) {
    result_.kind = Kind::refused;
    result_.status = status;
    result_.why = why;
    return false;
  }

  bool parse() {
    std::string_view line;
    if (!next_line(line, kMaxTargetBytes + 16, 414) || !request_line(line)) return false;
    for (std::size_t count = 0;; ++count) {
      if (!next_line(line, kMaxFieldLineBytes, 431)) return false;
      if (line.empty()) break;
      if (count == kMaxFields) return refuse(431, "too many header fields");
      if (!field_line(line)) return false;
    }
    return finish();
  }

  // One line without its CRLF. False: refused, or more bytes are needed.
  bool next_line(std::string_view& line, std::size_t max, std::uint16_t too_long) {
    const std::size_t end = rest_.find('\n');
    const std::size_t length = std::min(end, rest_.size());
    if (length > max) return refuse(too_long, "a line of the request head is too long");
    if (size_ - rest_.size() + length >= kMaxHeadBytes) {
      return refuse(431, "the request head is too long");
    }
    for (std::size_t i = 0; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      if (byte == '\r' && i + 1 == length) continue;  // complete, or LF is still to come
      if ((byte < 0x20 && byte != '\t') || byte == 0x7f) {
        return refuse(400, "a control character in the request head");
      }
    }
    if (end == std::string_view::npos) return false;
    if (length == 0 || rest_[length - 1] != '\r') return refuse(400, "a line ends without CR LF");
    line = rest_.substr(0, length - 1);
    rest_.remove_prefix(end + 1);
    return true;
  }

  bool request_line(std::string_view line) {
    const std::string_view method = take_until(line, ' ');
    const std::string_view target = take_until(line, ' ');
    if (method.empty() || !std::ranges::all_of(method, is_token_char)) {
      return refuse(400, "malformed request line");
    }
    if (line.size() != 8 || !line.starts_with("HTTP/") || !is_digit(line[5]) || line[6] != '.' ||
        !is_digit(line[7])) {
      return refuse(400, "malformed request line");
    }
    if (line != "HTTP/1.1") return refuse(505, "only HTTP/1.1 is spoken here");
    if (!request_target(target)) return false;
    if (method == "GET") {
      result_.request.method = Method::get;
    } else if (method == "HEAD") {
      result_.request.method = Method::head;
    } else if (method == "POST") {
      result_.request.method = Method::post;
    } else {
      return refuse(405, "only GET, HEAD and POST are allowed");
    }
    return true;
  }

  bool request_target(std::string_view target) {
    if (target.size() > kMaxTargetBytes) return refuse(414, "the request target is too long");
    if (!target.starts_with('/')) return refuse(400, "the request target must be a path");
    for (std::size_t i = 0; i < target.size(); ++i) {
      if (target[i] == '%') {
        if (target.size() - i < 3 || !is_hex(target[i + 1]) || !is_hex(target[i + 2])) {
          return refuse(400, "malformed request target");
        }
      } else if (!is_target_char(target[i])) {
        return refuse(400, "malformed request target");
      }
    }
    const std::size_t query = target.find('?');
    result_.request.has_query = query != std::string_view::npos;
    result_.request.path = target.substr(0, query);
    return true;
  }

  bool field_line(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return refuse(400, "malformed header field");
    const std::string_view name = line.substr(0, colon);
    // Also refuses a space before the colon, and a folded line (it starts with white space).
    if (!std::ranges::all_of(name, is_token_char)) return refuse(400, "malformed header field");
    if (same_name(name, "transfer-encoding") || same_name(name, "trailer") ||
        same_name(name, "te")) {
      return refuse(400, "transfer codings are not supported");
    }
    if (same_name(name, "expect")) return refuse(417, "expectations are not supported");
    if (same_name(name, "sec-websocket-extensions")) return true;  // none is ever negotiated
    const auto* known = std::ranges::find_if(
        kKnownNames, [&](std::string_view candidate) { return same_name(name, candidate); });
    if (known == kKnownNames.end()) return true;
    const auto index = static_cast<std::size_t>(known - kKnownNames.begin());
    if (seen_[index]) return refuse(400, "a header field occurs twice");
    seen_[index] = true;
    return known_field(static_cast<Known>(index), trimmed(line.substr(colon + 1)));
  }

  bool known_field(Known name, std::string_view value) {
    Request& request = result_.request;
    switch (name) {
      case kHost:
        request.host = value;
        return true;
      case kContentLength:
        return content_length(value);
      case kConnection:
        return connection(value);
      case kUpgrade:
        return upgrade(value);
      case kOrigin:
        request.origin = value;
        return true;
      case kCookie:
        return cookies(value);
      case kFetchSite:
        request.fetch_site = value;
        return true;
      case kFetchMode:
        request.fetch_mode = value;
        return true;
      case kFetchDest:
        request.fetch_dest = value;
        return true;
      case kContentType:
        request.content_type = value;
        return true;
      case kAcceptEncoding:
        request.accept_encoding = value;
        return true;
      case kWsKey:
        return websocket_key(value);
      case kWsVersion:
        request.websocket_version = value;
        return true;
      case kWsProtocol:
        request.websocket_protocols = value;
        return true;
      case kUserAgent:
        request.user_agent = value;
        return true;
      case kKnownCount:
        break;
    }
    return true;
  }

  bool content_length(std::string_view value) {
    const bool leading_zero = value.size() > 1 && value.front() == '0';
    if (value.empty() || leading_zero || !std::ranges::all_of(value, is_digit)) {
      return refuse(400, "malformed Content-Length");
    }
    if (value.size() > 9) return refuse(413, "the request body is too long");
    std::uint32_t length = 0;
    for (const char digit : value) length = length * 10 + static_cast<std::uint32_t>(digit - '0');
    if (length > kMaxBodyBytes) return refuse(413, "the request body is too long");
    result_.request.content_length = length;
    return true;
  }

  // Other connection options would name fields that a proxy must remove: nobody sends them
  // honestly.
  bool connection(std::string_view value) {
    while (!value.empty()) {
      const std::string_view option = trimmed(take_until(value, ','));
      if (same_name(option, "close")) {
        result_.request.wants_close = true;
      } else if (same_name(option, "upgrade")) {
        connection_upgrade_ = true;
      } else if (!same_name(option, "keep-alive")) {
        return refuse(400, "unknown connection option");
      }
    }
    return true;
  }

  bool upgrade(std::string_view value) {
    if (!same_name(value, "websocket")) return refuse(400, "unknown upgrade");
    upgrade_websocket_ = true;
    return true;
  }

  bool websocket_key(std::string_view value) {  // base64 of 16 bytes: 22 characters and "=="
    constexpr std::string_view kLast = "AQgw";  // the last one carries two bits only
    const bool good =
        value.size() == 24 && value.ends_with("==") &&
        std::ranges::all_of(
            value.substr(0, 22),
            [](char c) { return is_digit(c) || is_alpha(c) || c == '+' || c == '/'; }) &&
        kLast.find(value[21]) != std::string_view::npos;
    if (!good) return refuse(400, "malformed Sec-WebSocket-Key");
    result_.request.websocket_key = value;
    return true;
  }

  // A malformed value is no session at all; other people's cookies on the same host are not ours to
  // judge. The same cookie twice is an attempt to shadow it.
  bool cookies(std::string_view value) {
    bool session = false;
    bool device = false;
    while (!value.empty()) {
      const std::string_view pair = trimmed(take_until(value, ';'));
      const bool ours = cookie(pair, kCookieName, session, result_.request.token) &&
                        cookie(pair, kDeviceCookieName, device, result_.request.device);
      if (!ours) return refuse(400, "a cookie of this host occurs twice");
    }
    return true;
  }
  static bool cookie(std::string_view pair, std::string_view name, bool& found,
                     std::optional<ipc::Token>& token) {
    if (!pair.starts_with(name)) return true;
    if (std::exchange(found, true)) return false;
    const auto bytes = from_base64url(pair.substr(name.size()));
    if (bytes && bytes->size() == ipc::Token().size()) std::ranges::copy(*bytes, token.emplace().begin());
    return true;
  }

  bool finish() {
    Request& request = result_.request;
    if (!seen_[kHost]) return refuse(400, "the Host field is missing");
    if (connection_upgrade_ != upgrade_websocket_) return refuse(400, "half an upgrade");
    request.upgrade = upgrade_websocket_;
    if (request.upgrade && (request.method != Method::get || request.websocket_key.empty())) {
      return refuse(400, "malformed WebSocket upgrade");
    }
    if (request.method == Method::post && !seen_[kContentLength]) {
      return refuse(411, "Content-Length is missing");
    }
    if (request.method != Method::post && request.content_length != 0) {
      return refuse(400, "this method takes no body");
    }
    return true;
  }

  std::string_view rest_;
  std::size_t size_;
  GateResult result_;
  std::array<bool, kKnownCount> seen_{};
  bool connection_upgrade_ = false;
  bool upgrade_websocket_ = false;
};

}  // namespace

GateResult parse_head(std::string_view bytes) {
  return Parser(bytes).run();
}

bool list_contains(std::string_view list, std::string_view element) {
  while (!list.empty()) {
    if (trimmed(take_until(list, ',')) == element) return true;
  }
  return false;
}

}  // namespace oqto::relay
