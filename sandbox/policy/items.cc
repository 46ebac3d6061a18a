#include "sandbox/policy/items.h"

#include <algorithm>

#include "base/encoding.h"
#include "sandbox/policy/policy.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxName = 253;  // RFC 1035
constexpr std::size_t kMaxLabel = 63;
constexpr std::string_view kAutomatic = "auto:", kPrompt = "prompt:";

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

bool is_plain_text(std::string_view text) {
  return text.size() <= kMaxPolicyItem && std::ranges::none_of(text, is_control) &&
         is_valid_utf8(text);
}

// "a/b/c"
bool are_components(std::string_view rest) {
  for (;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    rest.remove_prefix(slash + 1);
  }
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' &&
         label.back() != '-' && std::ranges::all_of(label, [](char c) {
           return is_lower(c) || is_digit(c) || c == '-' || c == '_';
         });
}

std::size_t count_labels(std::string_view name) {
  std::size_t labels = 0;
  for (;;) {
    const std::size_t dot = name.find('.');
    if (!is_label(name.substr(0, dot))) return 0;
    ++labels;
    if (dot == std::string_view::npos) break;
    name.remove_prefix(dot + 1);
  }
  // Nothing but an address ends in a number (RFC 3696).
  return std::ranges::all_of(name, is_digit) ? 0 : labels;
}

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.front() == '0') return false;
  unsigned port = 0;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    port = port * 10 + static_cast<unsigned>(c - '0');
  }
  return port <= 65535;
}

}  // namespace

bool is_policy_path(std::string_view text) {
  if (!is_plain_text(text)) return false;
  if (text == "." || text == "~" || text == "/") return true;
  if (text.starts_with("./") || text.starts_with("~/")) return are_components(text.substr(2));
  return text.starts_with('/') && are_components(text.substr(1));
}

bool is_denied_path(std::string_view text) {
  return text != "/" && is_policy_path(text);
}

bool is_protected_path(std::string_view text) {
  return text.starts_with("./") && is_policy_path(text);
}

bool is_host_name(std::string_view text) {
  return text.size() <= kMaxName && count_labels(text) >= 2;
}

bool is_domain_rule(std::string_view text) {
  if (text == "**:*") return true;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1))) return false;
  const std::string_view name = text.substr(0, colon);
  if (name.size() > kMaxName) return false;
  if (name.starts_with("**.")) return count_labels(name.substr(3)) >= 1;
  if (name.starts_with("*.")) return count_labels(name.substr(2)) >= 1;
  return count_labels(name) >= 2;
}

bool is_variable_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPolicyItem && !is_digit(text.front()) &&
         std::ranges::all_of(
             text, [](char c) { return is_lower(c) || is_upper(c) || is_digit(c) || c == '_'; });
}

bool is_variable_pattern(std::string_view text) {
  if (text == "*") return true;
  if (text.ends_with('*')) text.remove_suffix(1);
  return is_variable_name(text);
}

bool is_setting(std::string_view text) {
  if (text == "*") return true;
  return is_plain_text(text) && text.find('=') != std::string_view::npos &&
         is_variable_name(text.substr(0, text.find('=')));
}

bool is_ask_item(std::string_view text) {
  if (!text.starts_with(kAutomatic) && !text.starts_with(kPrompt)) return false;
  const std::string_view path = ask_item(text).path;
  // A meet may make an "auto" a "prompt", which is longer.
  return path != "/" && path.size() + kPrompt.size() <= kMaxPolicyItem && is_policy_path(path);
}

AskItem ask_item(std::string_view text) {
  if (text.starts_with(kAutomatic)) {
    return {policies::Ask::automatic, text.substr(kAutomatic.size())};
  }
  if (text.starts_with(kPrompt)) return {policies::Ask::prompt, text.substr(kPrompt.size())};
  return {};
}

std::string ask_text(policies::Ask how, std::string_view path) {
  return std::string(how == policies::Ask::automatic ? kAutomatic : kPrompt) + std::string(path);
}

}  // namespace oqto::sandbox
