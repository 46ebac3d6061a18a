#include "sandbox/init/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "sandbox/world/landlock_abi.h"

namespace oqto::sandbox {
namespace {

using namespace landlock;

constexpr std::uint64_t kRead = kReadFile | kReadDir;
// The rights that the kernel accepts for what is not a directory.
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

constexpr const char* kDevices[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                    "/dev/random", "/dev/urandom", "/dev/tty"};

Status allow_beneath(const Fd& ruleset, const char* path, std::uint64_t rights) {
  const Fd target = Fd::adopt(::open(path, O_PATH | O_CLOEXEC));
  struct stat info {};
  if (!target || ::fstat(target.get(), &info) != 0) {
    return fail_errno("something of the sandbox cannot be opened");
  }
  if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
  const PathBeneathAttr rule{.allowed_access = rights, .parent_fd = target.get()};
  if (add_path_rule(ruleset.get(), rule) != 0) return fail_errno("landlock_add_rule");
  return {};
}

// Denials of programs that are executed later reach the kernel's audit log where it has one: by
// default it is silent once a program has executed another.
long restrict_and_log(int ruleset, int abi) {
  return restrict_self(ruleset, abi >= 7 ? kRestrictSelfLogNewExecOn : 0);
}

}  // namespace

Result<int> restrict_files(const InitPlan& plan) {
  const int abi = static_cast<int>(create_ruleset(nullptr, 0, kCreateRulesetVersion));
  if (abi < 1) return fail(Errc::unavailable, "this kernel has no Landlock: Linux 5.13 or later");
  RulesetAttr attr;
  attr.handled_access_fs = fs_rights(abi);
  // TCP stays free. In a network namespace of its own there is nobody but the session, and servers
  // under development need their loopback; in mode `open` every address is meant to be in reach,
  // and rules know ports only.
  if (abi >= 6) attr.scoped = kScopeAbstractUnix | kScopeSignal;
  const Fd ruleset = Fd::adopt(static_cast<int>(create_ruleset(&attr, attr_size(abi), 0)));
  if (!ruleset) return fail_errno("landlock_create_ruleset");

  const std::uint64_t all = attr.handled_access_fs & ~(kMakeBlock | kMakeChar | kIoctlDev);
  const std::uint64_t own = plan.run_own_programs != 0 ? all : all & ~kExecute;
  for (const std::string& path : plan.writable.values) {
    TRY(allow_beneath(ruleset, path.c_str(), own));
  }
  for (const std::string& path : plan.executable.values) {
    TRY(allow_beneath(ruleset, path.c_str(), kRead | kExecute));
  }
  for (const std::string& path : plan.readable.values) {
    TRY(allow_beneath(ruleset, path.c_str(), kRead));
  }
  // Terminals are driven by ioctl; which ones is the filter's business.
  const std::uint64_t device =
      (kRead | kWriteFile | kTruncate | kIoctlDev) & attr.handled_access_fs;
  TRY(allow_beneath(ruleset, "/dev", device));
  // The kernel looks for a rule from the file upwards: for what every shell opens again and again,
  // it need not go up.
  for (const char* path : kDevices) TRY(allow_beneath(ruleset, path, device));
  TRY(allow_beneath(ruleset, "/", kReadDir));
  if (restrict_and_log(ruleset.get(), abi) != 0) return fail_errno("landlock_restrict_self");
  return abi;
}

}  // namespace oqto::sandbox
