#include "sandbox/monitor/exec_record.h"

#include <algorithm>

#include "sandbox/monitor/digest.h"

namespace oqto::sandbox {
namespace {

using ipc::FieldKey;

constexpr std::size_t kMaxVariables = 40;    // shown with their values
constexpr std::size_t kMaxNames = 40;        // shown without
constexpr std::size_t kFewArguments = 16;    // shown of what is in a blob
constexpr std::size_t kFewBytes = 1024;

constexpr std::string_view kPrefixes[] = {
    "LD_", "GIT_CONFIG", "BASH_FUNC_", "CARGO_TARGET_", "PYTHON"};
constexpr std::string_view kNames[] = {
    // The loader and libc.
    "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES", "RESOLV_HOST_CONF",
    "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "NSS_CONFIG_FILE", "GIO_EXTRA_MODULES", "GTK_MODULES",
    "QT_PLUGIN_PATH", "VK_LAYER_PATH", "TERMINFO", "TERMINFO_DIRS",
    // Shells.
    "PATH", "IFS", "CDPATH", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND",
    "ZDOTDIR", "SHELL",
    // Interpreters and runtimes.
    "NODE_OPTIONS", "NODE_PATH", "npm_config_script_shell", "npm_config_node_options", "PERL5LIB", "PERL5OPT", "PERLLIB",
    "PERL5DB", "RUBYOPT", "RUBYLIB", "GEM_PATH", "GEM_HOME", "BUNDLE_GEMFILE", "PHPRC", "PHP_INI_SCAN_DIR",
    "LUA_INIT", "LUA_PATH", "LUA_CPATH", "TCLLIBPATH", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON",
    "R_LIBS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "MAVEN_OPTS",
    "GRADLE_OPTS", "DOTNET_STARTUP_HOOKS", "CORECLR_PROFILER_PATH", "ERL_FLAGS", "ERL_LIBS",
    "GUILE_LOAD_PATH", "EMACSLOADPATH", "VIMINIT", "VIRTUAL_ENV",
    // What builds call.
    "MAKEFLAGS", "MAKEFILES", "GNUMAKEFLAGS", "CC", "CXX", "GOFLAGS", "GOPROXY", "RUSTC", "RUSTFLAGS",
    "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CMAKE_TOOLCHAIN_FILE", "COMPILER_PATH",
    "GCC_EXEC_PREFIX", "PKG_CONFIG_PATH",
    // What others call.
    "PAGER", "MANPAGER", "EDITOR", "VISUAL", "BROWSER", "LESSOPEN", "LESSCLOSE", "SSH_ASKPASS",
    "SUDO_ASKPASS", "GIT_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR", "GIT_PAGER", "GIT_EXTERNAL_DIFF", "GIT_EXEC_PATH", "GIT_TEMPLATE_DIR",
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR"};

std::size_t bound_of_all(const std::vector<std::string>& texts) {
  std::size_t all = 0;
  for (const std::string& text : texts) all += json_bound(text) + 3;  // quotes and a comma
  return all;
}

// All arguments, if they fit; otherwise few of them, and all of them in a blob.
class Arguments {
 public:
  Arguments(const ExecRequest& request, const Image& image)
      : request_(request), image_(image), differ_(!same_arguments(request, image)) {
    std::size_t bound = bound_of_all(image.argv) + json_bound(image.exe) + json_bound(image.cwd);
    if (differ_) bound += bound_of_all(request.argv);
    const auto longest = [](const auto& a, const auto& b) { return a.size() < b.size(); };
    const auto longer = std::ranges::max_element(image.argv, longest);
    std::size_t shown = image.argv.size() + (differ_ ? request.argv.size() : 0);
    whole_ = !image.truncated && !(differ_ && request.truncated) && bound <= kMaxShownArguments &&
             shown <= kMaxArguments && (longer == image.argv.end() || longer->size() <= ipc::kMaxFieldBytes);
  }

  void add_to(Submission& to) const {
    show(to.record, FieldKey::argv, request_.argv);
    if (differ_) show(to.record, FieldKey::argv_after, image_.argv);
    if (whole_) return;
    const std::string& all = image_.arguments;
    to.record.add(FieldKey::truncated, "true")
        .add(FieldKey::argc, std::to_string(std::ranges::count(all, '\0')))
        .add(FieldKey::argv_bytes, std::to_string(all.size()))
        .add(FieldKey::argv_sha256, sha256_hex(all));
    to.blobs.push_back({FieldKey::argv_blob, all});
  }

 private:
  void show(ipc::AuditAppend& record, FieldKey key, const std::vector<std::string>& argv) const {
    std::size_t room = kFewBytes;
    for (std::size_t i = 0; i < argv.size() && (whole_ || (i < kFewArguments && room > 0)); ++i) {
      const std::string_view text = argv[i];
      record.add(key, whole_ ? text : text.substr(0, room));
      room -= std::min(room, text.size());
    }
  }

  const ExecRequest& request_;
  const Image& image_;
  bool differ_;
  bool whole_;
};

// The names of all variables, with the values of those that decide what is loaded.
void add_environment(Submission& to, const std::string& environment) {
  std::size_t variables = 0, names = 0, variable_bytes = 0, name_bytes = 0;
  bool all_values = true, all_names = true;
  std::string kept;  // what has no room: no value goes into the log that could not stand in a record
  const auto fits = [&to](std::string_view text, std::size_t& count, std::size_t max, std::size_t& bytes,
                          std::size_t max_bytes) {
    if (count >= max || bytes + json_bound(text) > max_bytes) return false;
    ++count;
    bytes += json_bound(text);
    to.record.add(FieldKey::environment, text);
    return true;
  };
  for (std::string_view left = environment; !left.empty();) {
    const std::size_t end = std::min(left.find('\0'), left.size());
    const std::string_view text = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    const std::string_view name = text.substr(0, text.find('='));
    kept.append(decides_what_is_loaded(name) ? text : name).push_back('\0');
    if (decides_what_is_loaded(name)) {
      all_values &= fits(text, variables, kMaxVariables, variable_bytes, kMaxShownVariables);
    } else {
      all_names &= fits(name, names, kMaxNames, name_bytes, kMaxShownNames);
    }
  }
  to.record.add(FieldKey::environment_sha256, sha256_hex(environment));
  if (!all_values) to.blobs.push_back({FieldKey::content_blob, std::move(kept)});
  if (all_values && all_names) return;
  const bool said = std::ranges::any_of(
      to.record.list, [](const auto& field) { return field.key == FieldKey::truncated; });
  if (!said) to.record.add(FieldKey::truncated, "true");
}

}  // namespace

std::size_t json_bound(std::string_view text) {
  std::size_t bound = text.size();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) bound += 5;
    if (c == '"' || c == '\\') ++bound;
    if (static_cast<unsigned char>(c) >= 0x80) ++bound;  // or base64, if it is no text
  }
  return bound;
}

bool decides_what_is_loaded(std::string_view name) {
  return std::ranges::any_of(kPrefixes, [name](auto prefix) { return name.starts_with(prefix); }) ||
         std::ranges::find(kNames, name) != std::end(kNames);
}

ipc::AuditAppend record_of(const ExecRequest& request, ipc::Outcome outcome) {
  ipc::AuditAppend record;
  record.event = ipc::Event::exec;
  record.phase = ipc::Phase::event;
  record.outcome = outcome;
  record.add(FieldKey::pid, std::to_string(request.process));
  if (outcome == ipc::Outcome::success) return record;
  std::size_t room = kMaxShownArguments;
  bool cut = request.truncated;
  for (const std::string& argument : request.argv) {
    const std::size_t bound = json_bound(argument);
    if (bound > room || argument.size() > ipc::kMaxFieldBytes) {
      cut = true;
      record.add(FieldKey::argv, std::string_view(argument).substr(0, kFewBytes));
      break;
    }
    record.add(FieldKey::argv, argument);
    room -= bound;
  }
  record.add(FieldKey::exe, request.path).add(FieldKey::cwd, request.cwd);
  if (cut) record.add(FieldKey::truncated, "true");
  return record;
}

Submission submission_of(const ExecRequest& request, const Image& image, ipc::Outcome outcome) {
  Submission made{.record = record_of(request, ipc::Outcome::success)};
  made.record.outcome = outcome;
  Arguments(request, image).add_to(made);
  made.record.add(FieldKey::exe, image.exe).add(FieldKey::cwd, image.cwd);
  add_environment(made, image.environment);
  return made;
}

}  // namespace oqto::sandbox
