#include "sandbox_cli/policy_commands.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "sandbox/monitor/filters.h"
#include "sandbox/policy/items.h"
#include "sandbox/policy/words.h"
#include "sandbox/world/git_paths.h"
#include "sandbox_cli/policy_files.h"
#include "sandbox_cli/policy_view.h"
#include "sandbox_cli/setup.h"

namespace oqto::sandbox_cli {
namespace {

using sandbox::PolicySource;

std::optional<ipc::Profile> built_in(std::string_view name) {
  for (std::size_t i = 0; i < policies::kProfiles; ++i) {
    const auto profile = static_cast<ipc::Profile>(i);
    if (sandbox::profile_name(profile) == name) return profile;
  }
  return std::nullopt;
}

std::string here(const Options& options) {
  return real_path(options.workspace.empty() ? "." : options.workspace).value_or("/");
}

Outcome<ParsedFile> read_file(const Options& options, const std::string& path,
                              PolicySource source) {
  const User user = TRY(current_user());
  const PolicyFile file = TRY(open_policy(user, path));
  auto parsed = TRY(parse_policies(
      {{&file, policy_context(source, path, user, here(options)), options.profile}}));
  return std::move(parsed[0]);
}

// A policy file, or a built-in profile by its name.
Outcome<sandbox::Policy> read_side(const Options& options, const std::string& word) {
  if (const auto profile = built_in(word)) return sandbox::profile_policy(*profile);
  return TRY(read_file(options, word, PolicySource::host)).parsed.policy;
}

std::string stricter_name(sandbox::Stricter stricter, const std::string& a, const std::string& b) {
  switch (stricter) {
    case sandbox::Stricter::first:
      return a;
    case sandbox::Stricter::second:
      return b;
    case sandbox::Stricter::neither:
      break;
  }
  return "neither";
}

// Of "host": the port, 443 if none is given.
Outcome<std::pair<std::string, std::uint16_t>> host_and_port(const std::string& text) {
  constexpr std::uint16_t kUsualPort = 443;
  const std::size_t colon = text.rfind(':');
  std::string name = text.substr(0, colon);
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  if (name.ends_with('.')) name.pop_back();
  std::uint16_t port = kUsualPort;
  if (colon != text.npos) {
    const char* const end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || at != end || port == 0) {
      return std::unexpected("a host is NAME or NAME:PORT");
    }
  }
  if (!sandbox::is_host_name(name)) return std::unexpected(text + " is not the name of a host");
  return std::pair{name, port};
}

// In the form that policies have. What exists is looked up where it really is.
Outcome<std::string> path_of(const std::string& text, const Options& options,
                             const sandbox::PolicyContext& context) {
  std::string whole =
      text.starts_with('/') || text.starts_with('~') ? text : here(options) + '/' + text;
  const std::string written = std::filesystem::path(whole).lexically_normal().string();
  auto normal = sandbox::normal_path(real_path(whole).value_or(written), context);
  if (!normal) return std::unexpected(text + ": " + normal.error());
  return *normal;
}

// What `exec` takes: a path, or a name as it would be looked up inside.
std::string program_path(const std::string& word) {
  if (word.find('/') != word.npos) return word;
  for (const char* directory : {"/usr/local/bin/", "/usr/bin/"}) {
    const std::string path = directory + word;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "/usr/bin/" + word;
}

// What git obeys is found by looking at the workspace: no file says it.
void explain_git(const EffectivePolicy& policy, const std::string& path,
                 sandbox::Explanation& found) {
  if (found.verdict != sandbox::Verdict::read_write || !path.starts_with("./")) return;
  sandbox::World world;
  world.policy = policy.policy;
  world.workspace.outside = world.workspace.inside = policy.workspace_path;
  world.home.inside = world.real_home = policy.user.home;
  const auto git = sandbox::look_at_git(world);
  if (!git) return;  // the start will say why
  const std::string whole = policy.workspace_path + path.substr(1);
  if (git->own_store && sandbox::path_contains(policy.workspace_path + "/.git", whole)) {
    found = {found.verdict, "built in",
             "a repository that exists inside only: the workspace has none"};
  }
  for (const std::string& kept : git->keep) {
    if (!sandbox::path_contains(kept, whole)) continue;
    found = {sandbox::Verdict::read_only, "built in",
             "git would obey it outside, so it stays as it is, or absent"};
  }
}

Outcome<sandbox::Explanation> explain_one(const Options& options) {
  const EffectivePolicy policy = TRY(look_up_policy(options));
  const auto layers = policy_layers(policy);
  const std::string& kind = options.words[0];
  const std::string& word = options.words[1];
  const sandbox::PolicyContext context =
      policy_context(PolicySource::host, "", policy.user, policy.workspace_path);
  if (kind == "path") {
    const std::string path = TRY(path_of(word, options, context));
    sandbox::Explanation found = sandbox::explain_path(layers, path);
    explain_git(policy, path, found);
    return found;
  }
  if (kind == "exec") {
    return sandbox::explain_exec(layers, TRY(path_of(program_path(word), options, context)));
  }
  if (kind == "host") {
    const auto [name, port] = TRY(host_and_port(word));
    return sandbox::explain_host(layers, name, port);
  }
  if (kind == "env") {
    if (!sandbox::is_variable_name(word)) return std::unexpected(word + " cannot name a variable");
    return sandbox::explain_env(layers, word);
  }
  if (sandbox::syscall_number(word) < 0) {
    return std::unexpected(word + " is not the name of a system call");
  }
  return sandbox::explain_syscall(layers, word);
}

}  // namespace

int check(const Options& options) {
  const PolicySource source = options.workspace_file ? PolicySource::workspace : PolicySource::host;
  const std::string& path = options.words[0];
  const auto file = read_file(options, path, source);
  if (!file) {
    if (!options.json) return wrong(file.error());
    print(Json::object().set("file", path).set("ok", false).set("error", file.error()).text());
    return 2;
  }
  if (options.json) {
    print(Json::object()
              .set("file", path)
              .set("ok", true)
              .set("notes", file->notes)
              .set("policy", policy_json(file->parsed.policy))
              .text());
  } else {
    print(path + " is in order. It says:\n" + policy_text(file->parsed.policy));
    for (const std::string& note : file->notes) print("note: " + printable(note));
  }
  return 0;
}

int diff(const Options& options) {
  const auto a = read_side(options, options.words[0]);
  if (!a) return refused(a.error(), options.json);
  const auto b = read_side(options, options.words[1]);
  if (!b) return refused(b.error(), options.json);
  const auto found = sandbox::diff(*a, *b);
  if (options.json) {
    Json list = Json::array();
    for (const auto& each : found) {
      list.add(Json::object()
                   .set("key", each.key)
                   .set("a", each.first)
                   .set("b", each.second)
                   .set("stricter", stricter_name(each.stricter, "a", "b")));
    }
    print(Json::object().set("same", found.empty()).set("differences", list).text());
  } else if (found.empty()) {
    print("The two are the same.");
  } else {
    std::vector<Row> rows = {{"KEY", options.words[0], options.words[1], "STRICTER"}};
    for (const auto& each : found) {
      rows.push_back({each.key, each.first, each.second,
                      stricter_name(each.stricter, options.words[0], options.words[1])});
    }
    print(table(rows));
  }
  return found.empty() ? 0 : 1;
}

int explain(const Options& options) {
  const auto found = explain_one(options);
  if (!found) return refused(found.error(), options.json);
  const auto verdict = sandbox::verdict_name(found->verdict);
  if (options.json) {
    print(Json::object()
              .set("kind", options.words[0])
              .set("of", options.words[1])
              .set("verdict", verdict)
              .set("decided_by", found->decided_by)
              .set("reason", found->reason)
              .text());
  } else {
    print(printable(options.words[1] + ": " + std::string(verdict) + ": " + found->reason) +
          "\ndecided by " + printable(found->decided_by));
  }
  return 0;
}

}  // namespace oqto::sandbox_cli
