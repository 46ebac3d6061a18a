#include "sandbox/policy/words.h"

#include <algorithm>

#include "base/encoding.h"
#include "sandbox/policy/items.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxPorts = 16;

std::unexpected<std::string> no(std::string what) {
  return std::unexpected(std::move(what));
}

// Links at the root of every sandbox (and of every host that we run on).
struct Link {
  std::string_view from, to;
};
constexpr Link kLinks[] = {{"/bin", "/usr/bin"},     {"/sbin", "/usr/sbin"},   {"/lib", "/usr/lib"},
                           {"/lib64", "/usr/lib64"}, {"/lib32", "/usr/lib32"}, {"/var/tmp", "/tmp"},
                           {"/var/run", "/run"}};

// The sandbox's own: neither the host's nor to be taken away.
constexpr std::string_view kOwn[] = {"/proc",     "/sys",    "/dev",         "/tmp",
                                     "/opt/oqto", "/opt/pi", "/opt/pi-cache"};

// Too much to grant in one piece; what is below can be granted by name.
constexpr std::string_view kWhole[] = {"/etc",     "/home",     "/root",     "/usr",
                                       "/usr/bin", "/usr/lib",  "/var",      "/boot",
                                       "/var/lib", "/usr/sbin", "/usr/lib64"};

Worded<std::string> rooted(std::string_view text, const PolicyContext& context) {
  if (text == "." || text == "./") return context.workspace;
  if (text == "~" || text == "~/") return context.home;
  if (text.starts_with("./")) return context.workspace + std::string(text.substr(1));
  if (text.starts_with("~/")) return context.home + std::string(text.substr(1));
  if (text.starts_with('~')) return no("other users' homes have no short form: write the path out");
  if (text.starts_with('/')) return std::string(text);
  return no("a path starts with \"./\" (the workspace), \"~/\" (the home) or \"/\"");
}

std::string below(std::string_view root, std::string_view sign, std::string_view path) {
  return std::string(sign) + std::string(path.substr(root.size()));
}

// Back to the shortest form, by the longer of the roots that contain it.
std::string shortened(const std::string& path, const PolicyContext& context) {
  const bool in_workspace = path_contains(context.workspace, path);
  const bool in_home = path_contains(context.home, path);
  if (in_workspace && (!in_home || context.workspace.size() >= context.home.size())) {
    return below(context.workspace, ".", path);
  }
  return in_home ? below(context.home, "~", path) : path;
}

std::string without_links(std::string path) {
  for (const Link& link : kLinks) {
    if (path_contains(link.from, path)) return below(link.from, link.to, path);
  }
  return path;
}

// A path of the policy as one of the host.
std::string absolute(std::string_view path, const PolicyContext& context) {
  return path.starts_with('/') ? std::string(path) : *rooted(path, context);
}

Worded<void> check_common(std::string_view path) {
  if (path == "/") return no("\"/\" is everything: name the directories that are meant");
  for (const std::string_view own : kOwn) {
    if (path_contains(own, path) || path_contains(path, own)) {
      return no(std::string(own) +
                " inside is the sandbox's own and cannot be changed: remove this");
    }
  }
  return {};
}

Worded<void> check_grant(std::string_view path, const PolicyContext& context) {
  // A workspace's file cannot add to what is granted, so there is nothing to be careful of.
  if (context.source == PolicySource::workspace) return {};
  if (path == "~" || std::ranges::find(kWhole, path) != std::end(kWhole)) {
    return no("too much to grant in one piece: name the directories below it");
  }
  if (path_contains(path, context.home)) {
    return no("the whole home lies below it: name the directories that are meant");
  }
  if (path_contains("/run", path)) {
    return no("the sockets of this host's services are below /run, which is never granted");
  }
  return {};
}

Worded<void> check_denial(PathUse use, std::string_view path, const PolicyContext& context) {
  const std::string whole = absolute(path, context);
  if (path != "." && path_contains(whole, context.workspace)) {
    return no(
        "the workspace lies below it: what is beside it is not visible unless granted; write "
        "\".\" or \"./...\" if the workspace is meant");
  }
  if (path != "~" && path_contains(whole, context.home)) {
    return no("the session's home lies below it: write \"~\" or \"~/...\" if that is meant");
  }
  if (use != PathUse::deny_write && (path == "." || path == "~")) {
    return no("every session has its workspace and its home: name what is below");
  }
  if (use != PathUse::deny_write &&
      (path == "/usr" || path == "/usr/bin" || path == "/usr/lib" || path == "/etc")) {
    return no("no program can be started without it: name what is below");
  }
  return {};
}

}  // namespace

Worded<std::string> normal_path(std::string_view text, const PolicyContext& context) {
  if (text.empty()) return no("an empty path: name a directory or a file");
  if (text.size() > kMaxPolicyItem) return no("the path is longer than 512 bytes");
  if (text.find_first_of("*?[") != std::string_view::npos) {
    return no("patterns are not known in paths: name the directory that holds what is meant");
  }
  if (text.find('$') != std::string_view::npos) {
    return no("variables are not replaced in paths: write \"~/...\" or the path itself");
  }
  std::string path = TRY(rooted(text, context));
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!is_policy_path(path)) {
    return no("a path has no \"..\", \".\", \"//\" or control characters in it: write it out");
  }
  path = shortened(path, context);
  if (path.starts_with('/')) path = shortened(without_links(std::move(path)), context);
  if (path.size() > kMaxPolicyItem) return no("the path is longer than 512 bytes");
  return path;
}

std::optional<std::string> granted_already(PathUse use, std::string_view text, const PolicyContext& context) {
  if (use != PathUse::allow_read && use != PathUse::allow_write) return std::nullopt;
  const auto path = normal_path(text, context);
  if (!path) return std::nullopt;  // path_for() says why
  if (*path == "/tmp") return "every session has a /tmp of its own, which is writable: this adds nothing";
  if (context.hosted && context.source == PolicySource::host && path->starts_with("~/")) {
    return "the home of a hosted session is private and writable: this adds nothing";
  }
  return std::nullopt;
}

Worded<std::string> path_for(PathUse use, std::string_view text, const PolicyContext& context) {
  std::string path = TRY(normal_path(text, context));
  TRY(check_common(path));
  switch (use) {
    case PathUse::allow_read:
    case PathUse::allow_write:
      if (context.source == PolicySource::workspace && path.starts_with("./")) {
        return no("a workspace is writable whatever is allowed: use deny_write or deny_read");
      }
      TRY(check_grant(path, context));
      break;
    case PathUse::ask:
      TRY(check_denial(use, path, context));
      if (!is_ask_item(ask_text(policies::Ask::prompt, path))) {
        return no("the path is longer than 500 bytes");
      }
      if (!path.starts_with('~')) TRY(check_grant(path, context));
      break;
    case PathUse::protect:
      if (!is_protected_path(path)) {
        return no("protect is for what is below the workspace (\"./...\"): use deny_write");
      }
      break;
    case PathUse::deny_read:
    case PathUse::deny_write:
      TRY(check_denial(use, path, context));
      break;
  }
  return path;
}

namespace {

Worded<void> check_domain_name(std::string_view name) {
  if (name.find_first_of("/@") != std::string_view::npos) {
    return no("a name alone is needed: without https:// and without a path");
  }
  if (std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) > 0x7e; })) {
    return no("a name is ASCII: write its xn-- form");
  }
  if (name == "*" || name == "**") {
    return no("every name is no list: name them, or \"**.example.com\" for all below one");
  }
  if (name.starts_with("*.") || name.starts_with("**.")) {
    if (is_domain_rule(std::string(name) + ":1")) return {};
    return no(
        "\"*.example.com\" covers one label, \"**.example.com\" any number; nothing else "
        "can stand in place of a name");
  }
  if (is_host_name(name)) return {};
  return no("a full name as \"example.com\" is needed, not an address and not a single word");
}

Worded<std::vector<std::string>> split_ports(std::string_view list) {
  std::vector<std::string> ports;
  for (;;) {
    const std::size_t comma = list.find(',');
    ports.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
    if (ports.size() == kMaxPorts) return no("at most 16 ports for one name");
  }
  return ports;
}

}  // namespace

Worded<std::vector<std::string>> normal_domains(std::string_view text) {
  if (text.size() > kMaxPolicyItem) return no("the name is too long");
  const std::size_t colon = text.find(':');
  std::string name(text.substr(0, colon));
  if (colon != std::string_view::npos && text.substr(colon).starts_with("://")) {
    return no("a name alone is needed: without https:// and without a path");
  }
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (name.ends_with('.')) name.pop_back();
  TRY(check_domain_name(name));
  std::vector<std::string> ports = {"443", "80"};
  if (colon != std::string_view::npos) ports = TRY(split_ports(text.substr(colon + 1)));
  std::vector<std::string> rules;
  for (const std::string& port : ports) {
    std::string rule = name + ':' + port;
    if (!is_domain_rule(rule)) return no("ports are numbers from 1 to 65535: \"name:443,8443\"");
    rules.push_back(std::move(rule));
  }
  return rules;
}

namespace {

// What the sandbox itself says to its programs.
Worded<void> check_variable(std::string_view name) {
  if (name == "HOME" || name == "PWD" || name.starts_with("OQTO_")) {
    return no("the sandbox sets this variable itself: remove it");
  }
  return {};
}

}  // namespace

Worded<std::string> normal_variable(std::string_view text) {
  if (text == "*")
    return no("every variable is no list: name them, or \"LC_*\" for all that begin so");
  if (!is_variable_pattern(text)) {
    return no(
        "a variable's name is letters, digits and _, with * at its end for all that begin so");
  }
  TRY(check_variable(text));
  return std::string(text);
}

Worded<std::string> normal_setting(std::string_view name, std::string_view value) {
  if (!is_variable_name(name)) return no("a variable's name is letters, digits and _");
  TRY(check_variable(name));
  std::string setting = std::string(name) + '=' + std::string(value);
  if (!is_setting(setting)) {
    return no("a value is UTF-8 without control characters, at most 512 bytes with its name");
  }
  return setting;
}

}  // namespace oqto::sandbox
