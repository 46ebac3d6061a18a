// The gate: the request heads that this server understands, and nothing else. Bytes are checked one
// by one against RFC 9112 and RFC 9110; what two parsers could read in two ways is refused, never
// repaired. Nothing that passed the gate is forwarded: later code rebuilds from the parsed pieces.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ipc/wire.h"

namespace oqto::relay {

constexpr std::size_t kMaxHeadBytes = 8 * 1024;  // request line, fields and the empty line
constexpr std::size_t kMaxTargetBytes = 2 * 1024;
constexpr std::size_t kMaxFieldLineBytes = 4 * 1024;
constexpr std::size_t kMaxFields = 64;
constexpr std::size_t kMaxBodyBytes = 16 * 1024;  // ipc::AuthCall::body

enum class Method : std::uint8_t { get, head, post };

// Views point into the bytes given to parse_head().
struct Request {
  Method method{};
  std::string_view path;  // of the target, as sent: nothing is decoded
  bool has_query = false;
  std::string_view host;
  std::optional<std::string_view> origin;
  std::optional<std::string_view> fetch_site;  // Sec-Fetch-*: set by browsers, not by scripts
  std::optional<std::string_view> fetch_mode;
  std::optional<std::string_view> fetch_dest;
  std::optional<std::string_view> content_type;
  std::string_view accept_encoding;
  std::optional<ipc::Token> token;  // from the session cookie; absent too if it is malformed
  std::optional<ipc::Token> device;  // from the device cookie, likewise
  std::string_view user_agent;
  std::uint32_t content_length = 0;
  bool wants_close = false;
  bool upgrade = false;            // `Connection: upgrade` and `Upgrade: websocket`, both
  std::string_view websocket_key;  // valid base64 of 16 bytes, or empty
  std::string_view websocket_version;
  std::string_view websocket_protocols;
};

struct GateResult {
  enum class Kind : std::uint8_t { incomplete, accepted, refused };
  Kind kind = Kind::incomplete;
  Request request;             // accepted
  std::size_t head_bytes = 0;  // accepted: where the body starts
  std::uint16_t status = 0;    // refused: 400, 405, 411, 413, 414, 417, 431 or 505
  const char* why = "";        // refused: text for people
};

// `bytes` is all that was received since the last request ended. Incomplete means: more bytes could
// still make it valid. Never reads past the first complete head.
GateResult parse_head(std::string_view bytes);

// True if `list` (a comma separated field value) has exactly this element.
bool list_contains(std::string_view list, std::string_view element);

}  // namespace oqto::relay
