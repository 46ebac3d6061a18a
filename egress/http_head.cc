#include "egress/http_head.h"

#include <algorithm>
#include <optional>

#include "egress/host_name.h"

namespace oqto::egress {
namespace {

using Text = std::string_view;

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         Text("!#$%&'*+-.^_`|~").find(c) != Text::npos;
}
bool is_token(Text text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}

bool same_ignoring_case(Text a, Text b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

// `host` or `host:port`.
std::optional<std::string> host_of(Text authority) {
  const std::size_t colon = authority.find(':');
  if (colon != Text::npos && authority.find_first_not_of("0123456789", colon + 1) != Text::npos) {
    return {};
  }
  return host_name(authority.substr(0, colon));
}

// What the target itself names: nothing in "/path" and "*". False: it cannot be told.
bool read_target(Text method, Text target, std::string& host) {
  if (target.starts_with('/') || target == "*") return true;
  std::optional<std::string> named;
  if (method == "CONNECT") {
    named = host_of(target);
  } else {
    const std::size_t scheme = target.find("://");
    if (scheme == Text::npos) return false;
    target.remove_prefix(scheme + 3);
    named = host_of(target.substr(0, target.find_first_of("/?#")));
  }
  if (!named) return false;
  host = *named;
  return true;
}

bool read_request_line(Text line, std::string& host) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == Text::npos || first == last) return false;
  const Text method = line.substr(0, first);
  const Text target = line.substr(first + 1, last - first - 1);
  const Text version = line.substr(last + 1);
  if (!is_token(method) || (version != "HTTP/1.1" && version != "HTTP/1.0")) return false;
  const bool visible = std::ranges::all_of(target, [](char c) { return c > 0x20 && c != 0x7f; });
  return visible && !target.empty() && read_target(method, target, host);
}

// False: malformed.
bool read_field(Text line, std::optional<Text>& host_field) {
  const std::size_t colon = line.find(':');
  if (colon == Text::npos || !is_token(line.substr(0, colon))) return false;  // and no folded line
  if (!same_ignoring_case(line.substr(0, colon), "host")) return true;
  if (host_field) return false;
  Text value = line.substr(colon + 1);
  while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
  while (value.ends_with(' ') || value.ends_with('\t')) value.remove_suffix(1);
  host_field = value;
  return true;
}

}  // namespace

HttpHead read_http_head(Text bytes) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == Text::npos || end > kMaxHttpHead) {
    if (bytes.size() >= kMaxHttpHead || (!bytes.empty() && !is_token_char(bytes[0]))) return {};
    return {HttpHead::State::more, {}};
  }
  Text rest = bytes.substr(0, end + 2);
  std::string named;
  std::optional<Text> host_field;
  bool first = true;
  while (!rest.empty()) {
    const std::size_t line_end = rest.find("\r\n");
    const Text line = rest.substr(0, line_end);
    // A line end or text end to some, and none to others.
    if (line.find_first_of(Text("\r\n\0", 3)) != Text::npos) return {};
    if (!(first ? read_request_line(line, named) : read_field(line, host_field))) return {};
    first = false;
    rest.remove_prefix(line_end + 2);
  }
  HttpHead head{HttpHead::State::complete, {}};
  const auto host = host_field ? host_of(*host_field) : std::nullopt;
  if (host && (named.empty() || named == *host)) head.host = *host;
  return head;
}

}  // namespace oqto::egress
