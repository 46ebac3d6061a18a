#include "sandbox_cli/setup.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox/world/layout.h"

namespace oqto::sandbox_cli {
namespace {

using policies::Network;
using sandbox::World;

// World::env and what a message to oqto-init holds.
constexpr std::size_t kMaxVariables = 96;
constexpr std::size_t kMaxVariable = 4000;  // bytes, with its name
constexpr std::size_t kMaxEnvironment = 24 * 1024;
// Sockets beyond those of names that are written out: for names that a pattern covers.
constexpr std::size_t kPatternSockets = 64;

bool passes(const sandbox::PolicyList& patterns, std::string_view name) {
  return std::ranges::any_of(patterns.values, [name](std::string_view pattern) {
    if (!pattern.ends_with('*')) return pattern == name;
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  });
}

sandbox::Place place(const Directory& directory, const std::string& inside) {
  struct stat info {};
  std::optional<sandbox::FileId> id;
  if (::fstat(directory.fd.get(), &info) == 0) id = sandbox::FileId{info.st_dev, info.st_ino};
  return {directory.path, id, inside};
}

std::size_t pool_size(const sandbox::Policy& policy) {
  std::size_t exact = 0;
  bool patterns = policy.unknown_hosts != policies::Ask::deny;
  for (const std::string& rule : policy.domains.values) {
    const bool pattern = rule.starts_with('*');
    patterns = patterns || pattern;
    exact += pattern ? 0 : 1;
  }
  return std::min(exact + (patterns ? kPatternSockets : 0), sandbox::kMaxPool);
}

Outcome<> set_environment(World& world) {
  world.env = sandbox::base_environment(world);
  for (const std::string& entry : policy_environment(world.policy, environ)) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    if (name == "HOME=" || name == "TMPDIR=") continue;  // where those are is not for a policy
    if (entry.size() > kMaxVariable) {
      return std::unexpected("the variable " + name.substr(0, name.size() - 1) +
                             " is too long: at most 4000 bytes");
    }
    std::erase_if(world.env, [&](const std::string& old) { return old.starts_with(name); });
    world.env.push_back(entry);
  }
  std::size_t bytes = 0;
  for (const std::string& entry : world.env) bytes += entry.size();
  if (world.env.size() > kMaxVariables || bytes > kMaxEnvironment) {
    return std::unexpected(
        "env.pass and env.set make an environment that is too large: at most 96 "
        "variables and 24 KiB");
  }
  return {};
}

// As policies spell paths.
std::string spelled(const Setup& setup, const std::string& path) {
  const auto below = [&](const std::string& root, std::string_view sign) -> std::string {
    return std::string(sign) + path.substr(root.size());
  };
  if (sandbox::path_contains(setup.workspace.path, path)) return below(setup.workspace.path, ".");
  if (sandbox::path_contains(setup.user.home, path)) return below(setup.user.home, "~");
  return path;
}

void insert(sandbox::PolicyList& list, std::string item) {
  const auto at = std::ranges::lower_bound(list.values, item);
  if (at == list.values.end() || *at != item) list.values.insert(at, std::move(item));
}

// A grant never reaches what decides about the sandbox, or another workspace's private home.
Outcome<> keep_own_things(const Setup& setup, sandbox::Policy& policy) {
  const auto granted = [](const sandbox::PolicyList& list, const std::string& path) {
    return std::ranges::any_of(list.values, [&](const std::string& root) {
      return sandbox::path_contains(root, path) || sandbox::path_contains(path, root);
    });
  };
  const auto exists = [](const std::string& path) { return ::access(path.c_str(), F_OK) == 0; };
  const std::string data = data_directory(setup.user);
  const std::string homes = spelled(setup, data);
  if (exists(data) && (granted(policy.allow_read, homes) || granted(policy.allow_write, homes))) {
    insert(policy.deny_read, homes);
  }
  for (const std::string& path : {config_directory(setup.user), TRY(program_directory())}) {
    if (exists(path) && granted(policy.allow_write, spelled(setup, path))) {
      insert(policy.deny_write, spelled(setup, path));
    }
  }
  // Else the program would write its own policy for the next time.
  if (!setup.policy.host.path.empty()) {
    const std::string file = spelled(setup, TRY(real_path(setup.policy.host.path)));
    if (file.starts_with("./") || granted(policy.allow_write, file)) insert(policy.protect, file);
  }
  return {};
}

Outcome<World> make_world(const Setup& setup, const Options& options) {
  World world;
  world.policy = setup.policy.policy;
  TRY(keep_own_things(setup, world.policy));
  world.workspace = place(setup.workspace, setup.workspace.path);
  world.home = place(setup.home, setup.user.home);
  world.real_home = setup.user.home;
  world.git_store = setup.home.path.substr(0, setup.home.path.rfind('/')) + "/%git";
  switch (world.policy.network) {
    case Network::isolated:
      world.network = World::Network::isolated;
      break;
    case Network::filtered:
      world.network = World::Network::filtered;
      break;
    case Network::open:
      world.network = World::Network::open;
      break;
    case Network::kEnd:
      break;
  }
  if (world.network == World::Network::filtered) world.pool = pool_size(world.policy);
  world.uid = setup.user.uid;
  world.gid = setup.user.gid == 0 ? setup.user.uid : setup.user.gid;
  world.user = setup.user.name;
  world.init = TRY(program_directory()) + "/oqto-init";
  world.notify_exec = !options.record.empty() || options.command == "learn";
  TRY(set_environment(world));
  return world;
}

void add_notices(Setup& setup) {
  const sandbox::Policy& policy = setup.policy.policy;
  if (policy.network == Network::open) {
    setup.notices.push_back(
        "the network is open: programs reach what you reach, your host's own services too");
  }
  for (std::string& absent : sandbox::absent_grants(setup.world)) setup.notices.push_back(std::move(absent));
  if (policy.network == Network::filtered && policy.domains.values.empty() &&
      policy.unknown_hosts == policies::Ask::deny) {
    setup.notices.push_back(
        "the network is filtered and no name is allowed: list some in [network] allow_domains");
  }
}

}  // namespace

std::vector<std::string> policy_environment(const sandbox::Policy& policy,
                                            const char* const* environment) {
  std::vector<std::string> all;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const std::size_t equals = entry.find('=');
    if (equals == 0 || equals == entry.npos) continue;
    if (passes(policy.env_pass, entry.substr(0, equals))) all.emplace_back(entry);
  }
  for (const std::string& entry : policy.env_set.values) {
    if (entry != "*") all.push_back(entry);
  }
  return all;
}

Outcome<EffectivePolicy> look_up_policy(const Options& options) {
  const User user = TRY(become_user(options.user));
  const Directory workspace = TRY(open_workspace(user, options.workspace));
  return load_policy(options, user, workspace);
}

Outcome<Setup> prepare(const Options& options) {
  Setup setup;
  setup.user = TRY(become_user(options.user));
  // Most sandboxes have a network of their own, which takes the kernel as long as all of this. Whether
  // it could be made is told where it is used.
  if (auto begun = sandbox::Namespaces::begin()) setup.namespaces = std::move(*begun);
  setup.workspace = TRY(open_workspace(setup.user, options.workspace));
  setup.policy = TRY(load_policy(options, setup.user, setup.workspace));
  setup.home = TRY(open_private_home(setup.user, setup.workspace.path));
  setup.world = TRY(make_world(setup, options));
  add_notices(setup);
  return setup;
}

}  // namespace oqto::sandbox_cli
