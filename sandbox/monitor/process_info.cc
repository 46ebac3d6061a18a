#include "sandbox/monitor/process_info.h"

#include <sys/ioctl.h>

#include <charconv>
#include <cstdint>

namespace oqto::sandbox {
namespace {

// struct pidfd_info of <linux/pidfd.h>, which is newer than the oldest supported system.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid, ids[8];
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t kPid = 1;
constexpr std::uint64_t kExit = 8;

bool ask(const Fd& pidfd, std::uint64_t what, PidfdInfo& info) {
  info = {};
  info.mask = what;
  return ::ioctl(pidfd.get(), kPidfdGetInfo, &info) == 0 && (info.mask & what) == what;
}

}  // namespace

pid_t parent_of(const Tracees& tracees, const Fd& pidfd, pid_t process) {
  PidfdInfo info{};
  if (pidfd && ask(pidfd, kPid, info)) return static_cast<pid_t>(info.ppid);
  const auto numbers = tracees.numbers(process);
  return numbers ? numbers->parent : -1;
}

std::optional<int> exit_status_of(const Fd& pidfd) {
  PidfdInfo info{};
  if (!ask(pidfd, kExit, info)) return std::nullopt;
  return info.exit_code;
}

std::optional<int> exit_status_in_proc(const Tracees& tracees, pid_t process) {
  const auto stat = tracees.head(process, "stat", 2048);
  if (!stat) return std::nullopt;
  // `PID (NAME) STATE … EXIT_CODE`: the name is the process's own, and may hold any byte but NUL.
  const std::size_t name_end = stat->rfind(')');
  const std::size_t last = stat->find_last_of(' ');
  if (name_end == std::string::npos || stat->substr(name_end, 4) != ") Z " || last < name_end) {
    return std::nullopt;
  }
  int status = 0;
  const char* end = stat->data() + stat->size();
  if (std::from_chars(stat->data() + last + 1, end, status).ec != std::errc()) return std::nullopt;
  return status;
}

}  // namespace oqto::sandbox
