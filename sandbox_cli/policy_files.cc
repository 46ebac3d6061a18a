#include "sandbox_cli/policy_files.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace oqto::sandbox_cli {
namespace {

using sandbox::PolicySource;

std::unexpected<std::string> no(std::string text) {
  return std::unexpected(std::move(text));
}

Outcome<> check_owner(const User& user, const struct stat& info, const std::string& path) {
  if (info.st_uid != user.uid && info.st_uid != 0) {
    return no(path + ": belongs to user " + std::to_string(info.st_uid) +
              ": a policy must be yours or root's");
  }
  const bool sticky_directory = S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0;
  if ((info.st_mode & 022) != 0 && !sticky_directory) {
    return no(path + ": others may write to it: chmod go-w " + path);
  }
  return {};
}

Outcome<> check_file(const User& user, const Fd& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return no(path + ": " + ::strerrordesc_np(errno));
  if (!S_ISREG(info.st_mode)) return no(path + ": is not a regular file");
  return check_owner(user, info, path);
}

// Whoever may write to the directory can put another file in the place of this one.
Outcome<> check_directory(const User& user, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string above = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct stat info {};
  if (::stat(above.c_str(), &info) != 0) return no(above + ": " + ::strerrordesc_np(errno));
  return check_owner(user, info, above);
}

std::string open_failure(const std::string& path) {
  if (errno == ELOOP) return path + ": is a symbolic link: name the file that it leads to";
  return path + ": " + ::strerrordesc_np(errno);
}

// The user's own policy: the first that exists. None: what is built in.
Outcome<std::optional<PolicyFile>> find_host_policy(const Options& options, const User& user) {
  if (!options.policy.empty()) return TRY(open_policy(user, options.policy));
  for (const std::string& path :
       {config_directory(user) + "/sandbox.toml", std::string(kSystemPolicy)}) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) return TRY(open_policy(user, path));
    // A policy that cannot be seen is not a policy that is not there.
    if (errno != ENOENT && errno != ENOTDIR) return no(path + ": " + ::strerrordesc_np(errno));
  }
  return std::nullopt;
}

Outcome<std::optional<PolicyFile>> find_workspace_policy(const User& user,
                                                         const Directory& workspace) {
  const std::string relative(kWorkspacePolicy);
  const std::string path = workspace.path + '/' + relative;
  auto opened = sys::open_beneath(workspace.fd, relative.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!opened) {
    if (opened.error().sys == ENOENT) return std::nullopt;
    errno = opened.error().sys;
    return no(open_failure(path));
  }
  TRY(check_file(user, *opened, path));
  return PolicyFile{path, std::move(*opened)};
}

}  // namespace

Outcome<PolicyFile> open_policy(const User& user, const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  PolicyFile file{path, Fd::adopt(::open(path.c_str(), kFlags))};
  if (!file.fd) return no(open_failure(path));
  TRY(check_file(user, file.fd, path));
  TRY(check_directory(user, path));
  return file;
}

sandbox::PolicyContext policy_context(PolicySource source, const std::string& name,
                                      const User& user, const std::string& workspace) {
  return {
      .name = name, .source = source, .hosted = false, .workspace = workspace, .home = user.home};
}

Outcome<EffectivePolicy> load_policy(const Options& options, const User& user,
                                     const Directory& workspace) {
  EffectivePolicy all;
  all.user = user;
  all.workspace_path = workspace.path;
  all.network = options.network;
  const auto own = TRY(find_host_policy(options, user));
  const auto found = TRY(find_workspace_policy(user, workspace));
  std::vector<PolicyRequest> requests = {
      {own ? &*own : nullptr,
       policy_context(PolicySource::host, own ? own->path : "--profile", user, workspace.path),
       options.profile}};
  if (found) {
    requests.push_back(
        {&*found, policy_context(PolicySource::workspace, found->path, user, workspace.path), ""});
  }
  auto parsed = TRY(parse_policies(requests));
  all.host = std::move(parsed[0]);
  if (found) all.workspace = std::move(parsed[1]);

  // The named profile takes the place of the built-in one that it comes from.
  sandbox::HostPolicies host = all.host.profiles;
  const ipc::Profile wanted = all.host.parsed.policy.profile;
  host[static_cast<std::size_t>(wanted)] = all.host.parsed.policy;
  all.profile = options.profile.empty() ? sandbox::profile_name(wanted) : options.profile;
  if (options.network) {
    for (sandbox::Policy& policy : host) policy = sandbox::with_network(policy, *options.network);
  }
  all.policy = sandbox::effective(
      host, wanted, all.workspace ? all.workspace->parsed.policy : sandbox::loosest_policy());
  return all;
}

std::vector<sandbox::PolicyLayer> policy_layers(const EffectivePolicy& policy) {
  std::vector<sandbox::PolicyLayer> layers;
  const auto add_host = [&](const sandbox::Policy& values) {
    if (policy.host.path.empty()) {
      layers.push_back(sandbox::built_in_layer(values.profile));
    } else {
      layers.push_back({policy.host.path, {values, policy.host.parsed.origins}});
    }
    if (!policy.network) return;
    sandbox::PolicyLayer& layer = layers.back();
    layer.name = "command line: --net " + std::string(policies::network_name(*policy.network));
    layer.parsed.policy = sandbox::with_network(layer.parsed.policy, *policy.network);
  };
  const sandbox::Policy& own = policy.host.parsed.policy;
  add_host(own);
  if (!policy.workspace) return layers;
  const ipc::Profile asked = policy.workspace->parsed.policy.profile;
  if (asked > own.profile) add_host(policy.host.profiles[static_cast<std::size_t>(asked)]);
  layers.push_back({policy.workspace->path, policy.workspace->parsed});
  return layers;
}

std::string origin_of(const EffectivePolicy& policy, std::string_view key) {
  const auto line_in = [&](const ParsedFile& file, bool needed) -> std::string {
    const auto& origins = file.parsed.origins;
    const auto found = std::ranges::find(origins, key, &sandbox::PolicyOrigin::key);
    if (!needed || found == origins.end()) return {};
    return file.path + ':' + std::to_string(found->line);
  };
  if (policy.workspace) {
    if (auto line = line_in(*policy.workspace, true); !line.empty()) return line;
  }
  if (auto line = line_in(policy.host, true); !line.empty()) return line;
  return "profile " + policy.profile;
}

}  // namespace oqto::sandbox_cli
