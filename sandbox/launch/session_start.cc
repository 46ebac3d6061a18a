#include "sandbox/launch/session_start.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxConfiguration = 1024 * 1024;

// The path must name the directory that the guard has opened, also once its links are resolved:
// links above it are the operator's, and nothing of a session can change them.
std::expected<Place, StartFailure> opened_place(int fd, const std::string& path,
                                                const char* inside) {
  struct stat opened {
  }, named{};
  if (::fstat(fd, &opened) != 0 || !S_ISDIR(opened.st_mode)) {
    return refuse("a descriptor of the plan is not a directory");
  }
  char real[PATH_MAX];
  if (::realpath(path.c_str(), real) == nullptr || ::stat(real, &named) != 0) {
    return refuse('`' + path + "` is out of the agent uid's reach: parents must be searchable: " +
                  ::strerrordesc_np(errno));
  }
  const FileId id{opened.st_dev, opened.st_ino};
  if (id != FileId{named.st_dev, named.st_ino}) {
    return refuse('`' + path + "` no longer names the directory that was opened");
  }
  return Place{real, id, inside};
}

std::expected<void, StartFailure> add_configuration(World& world, int number, const char* name) {
  const Fd file = Fd::adopt(number);
  const auto text = ::lseek(file.get(), 0, SEEK_SET) == 0
                        ? sys::read_all(file, kMaxConfiguration)
                        : Result<std::string>(fail_errno("lseek"));
  if (!text) return refuse(std::string(name) + " cannot be read: " + explain(text.error()));
  world.generated.push_back({std::string(kInsideHome) + "/.pi/agent/" + name, *text});
  return {};
}

}  // namespace

World session_world(const LaunchPaths& paths) {
  World world;
  world.workspace.inside = kInsideWorkspace;
  world.home.inside = kInsideHome;
  world.init = paths.init;
  world.read_only.push_back({.place = {paths.pi, {}, kInsidePi}});
  world.env = base_environment(world);
  // Without the cache Pi starts slower, and as well.
  if (!paths.pi_cache.empty() && ::access(paths.pi_cache.c_str(), R_OK | X_OK) == 0) {
    world.read_only.push_back(
        {.place = {paths.pi_cache, {}, kInsidePiCache}, .required = false, .executable = false});
    world.env.push_back(std::string("NODE_COMPILE_CACHE=") + kInsidePiCache);
  }
  return world;
}

std::expected<StartedSandbox, StartFailure> start_session(const LaunchPlan& plan,
                                                          const LaunchPaths& paths,
                                                          const ipc::Channel& guard,
                                                          const Fd& signals) {
  StartWith with;
  with.control = Fd::adopt(kControlFd);
  with.call_off = {guard.fd().get(), signals.get()};
  const Fd workspace = Fd::adopt(kWorkspaceFd), home = Fd::adopt(kHomeFd);
  World world = session_world(paths);
  world.policy = plan.policy;
  world.network = World::Network::present;
  if (plan.policy.network == policies::Network::open) {
    return refuse("network: a hosted session is never `open`: it would share the host's network");
  }
  world.workspace = TRY(opened_place(workspace.get(), paths.workspace, kInsideWorkspace));
  world.home = TRY(opened_place(home.get(), paths.home, kInsideHome));
  world.git_store = world.home.outside + "/.oqto-git";
  TRY(add_configuration(world, kModelsFd, "models.json"));
  TRY(add_configuration(world, kSettingsFd, "settings.json"));
  world.generated.push_back({std::string(kInsideHome) + "/.pi/agent/auth.json", "{}"});
  return start_sandbox(world, std::move(with));
}

}  // namespace oqto::sandbox
