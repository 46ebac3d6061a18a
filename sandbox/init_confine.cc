#include "sandbox/init_confine.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <string>

#include "sandbox/filters.h"
#include "sandbox/landlock_abi.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // Linux 5.19
#endif

namespace oqto::sandbox {
namespace {

Status verify_directory(const char* path, const DirectoryId& expected) {
  struct stat found {};
  if (::lstat(path, &found) != 0) return fail_errno("a directory of the session is not mounted");
  if (DirectoryId{found.st_dev, found.st_ino} != expected) {
    return fail(Errc::denied, "a directory was exchanged while the sandbox was being built");
  }
  return {};
}

Status verify_read_only_file(const std::string& path) {
  struct stat found {};
  struct statvfs mount {};
  if (::lstat(path.c_str(), &found) != 0 || ::statvfs(path.c_str(), &mount) != 0) {
    return fail_errno("a configuration file of Pi is not mounted");
  }
  if (!S_ISREG(found.st_mode) || (mount.f_flag & ST_RDONLY) == 0) {
    return fail(Errc::denied, "a configuration file of Pi was exchanged while being mounted");
  }
  return {};
}

Status allow_beneath(const Fd& ruleset, const char* path, std::uint64_t rights, bool required) {
  const Fd target = Fd::adopt(::open(path, O_PATH | O_CLOEXEC));
  if (!target) {
    if (!required && errno == ENOENT) return {};
    return fail_errno("a directory of the sandbox cannot be opened");
  }
  const landlock::PathBeneathAttr rule{.allowed_access = rights, .parent_fd = target.get()};
  if (landlock::add_path_rule(ruleset.get(), rule) != 0) return fail_errno("landlock_add_rule");
  return {};
}

long seccomp(unsigned operation, unsigned long flags, const void* argument) {
  return ::syscall(SYS_seccomp, operation, flags, argument);
}

sock_fprog program_of(Filter filter) {
  return {.len = static_cast<unsigned short>(filter.size()),
          .filter = const_cast<sock_filter*>(filter.data())};
}

}  // namespace

Status verify_mounts(const InitPlan& plan) {
  TRY(verify_directory(kInsideWorkspace, plan.workspace));
  TRY(verify_directory(kInsideHome, plan.home));
  const std::string agent_dir = std::string(kInsideHome) + "/.pi/agent/";
  for (const char* name : {"models.json", "settings.json", "auth.json"}) {
    TRY(verify_read_only_file(agent_dir + name));
  }
  return {};
}

Result<int> restrict_files(bool run_own_programs) {
  using namespace landlock;
  const int abi = static_cast<int>(create_ruleset(nullptr, 0, kCreateRulesetVersion));
  if (abi < 1) return fail(Errc::unavailable, "this kernel has no Landlock: Linux 5.13 or later");
  RulesetAttr attr;
  attr.handled_access_fs = fs_rights(abi);
  // Binding and connecting TCP stay free: the network namespace holds nothing but the session, and
  // development servers and test suites need their loopback.
  if (abi >= 6) attr.scoped = kScopeAbstractUnix | kScopeSignal;
  const Fd ruleset = Fd::adopt(static_cast<int>(create_ruleset(&attr, attr_size(abi), 0)));
  if (!ruleset) return fail_errno("landlock_create_ruleset");

  constexpr std::uint64_t kRead = kReadFile | kReadDir;
  const std::uint64_t all = attr.handled_access_fs & ~(kMakeBlock | kMakeChar | kIoctlDev);
  const std::uint64_t own = run_own_programs ? all : all & ~kExecute;
  for (const char* path : {kInsideWorkspace, kInsideHome, "/tmp", "/dev/shm"}) {
    TRY(allow_beneath(ruleset, path, own, true));
  }
  for (const char* path : {"/usr", kInsidePi}) {
    TRY(allow_beneath(ruleset, path, kRead | kExecute, true));
  }
  TRY(allow_beneath(ruleset, kInsidePiCache, kRead, false));
  for (const char* path : {"/etc", "/proc"}) TRY(allow_beneath(ruleset, path, kRead, true));
  // Terminals are driven by ioctl; which ones is the filter's business.
  const std::uint64_t device =
      (kRead | kWriteFile | kTruncate | kIoctlDev) & attr.handled_access_fs;
  TRY(allow_beneath(ruleset, "/dev", device, true));
  TRY(allow_beneath(ruleset, "/", kReadDir, true));
  if (restrict_self(ruleset.get()) != 0) return fail_errno("landlock_restrict_self");
  return abi;
}

Result<Fd> load_argument_filter() {
  const sock_fprog program = program_of(argument_filter());
  // Killable: a signal to the waiting task must not make the notification appear twice.
  constexpr unsigned long kFlags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  const long listener = seccomp(SECCOMP_SET_MODE_FILTER, kFlags, &program);
  if (listener < 0) return fail_errno("seccomp(NEW_LISTENER), which needs Linux 5.19 or later");
  return Fd::adopt(static_cast<int>(listener));
}

Status load_call_filter(bool run_own_programs) {
  const sock_fprog program = program_of(call_filter(run_own_programs));
  if (seccomp(SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return fail_errno("seccomp");
  return {};
}

}  // namespace oqto::sandbox
