#include "sandbox/bubblewrap.h"

#include <charconv>

namespace oqto::sandbox {

std::vector<std::string> bubblewrap_words(const World& world, const std::string& root, int info) {
  // The network and time namespaces, the first user namespace and its bound on further ones are the
  // stage's. So are the flags of the mounts: --dev-bind adds none.
  return {kBubblewrap,
          "--unshare-user",
          "--unshare-pid",
          "--unshare-ipc",
          "--unshare-uts",
          "--unshare-cgroup",
          "--uid",
          std::to_string(world.uid),
          "--gid",
          std::to_string(world.gid),
          "--hostname",
          world.hostname,
          "--cap-drop",
          "ALL",
          "--die-with-parent",
          "--new-session",
          "--clearenv",
          "--as-pid-1",
          "--info-fd",
          std::to_string(info),
          "--dev-bind",
          root,
          "/",
          "--proc",
          "/proc",
          "--chdir",
          world.workspace.inside,
          "--",
          kInsideInit};
}

pid_t child_pid(std::string_view report) {
  constexpr std::string_view kKey = "\"child-pid\":";
  const std::size_t at = report.find(kKey);
  if (at == std::string_view::npos || report.find('}', at) == std::string_view::npos) return -1;
  const std::size_t digits = report.find_first_of("0123456789", at + kKey.size());
  if (digits == std::string_view::npos) return -1;
  pid_t pid = -1;
  (void)std::from_chars(report.data() + digits, report.data() + report.size(), pid);
  return pid > 0 ? pid : -1;
}

}  // namespace oqto::sandbox
