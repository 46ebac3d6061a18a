#include "sandbox/world/first_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/launch/launch_plan.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/stage_tree.h"

namespace oqto::sandbox {
namespace {

constexpr char kReady = 'm', kGo = 'g';

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

Status mount_proc() {
  const std::string proc = std::string(kStageRoot) + "/proc";
  if (::mount("proc", proc.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return fail_errno("mount of /proc: is a part of this host's own /proc covered?");
  }
  return {};
}

// As low as the policy says, or lower if the caller's limit is.
Status limit(__rlimit_resource resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return fail_errno("getrlimit");
  now.rlim_cur = now.rlim_max = std::min(value, now.rlim_max);
  if (::setrlimit(resource, &now) != 0) return fail_errno("setrlimit");
  return {};
}

// Processes are counted per user namespace: the one that this process makes after this.
Status take_limits(const policies::Limits& limits) {
  TRY(limit(RLIMIT_NPROC, limits.max_processes));
  TRY(limit(RLIMIT_NOFILE, limits.open_files));
  TRY(limit(RLIMIT_FSIZE, limits.file_bytes));
  return limit(RLIMIT_CORE, 0);
}

// A user namespace for what is inside, the one that the stage's allows.
Status enter_users(const World& world) {
  const std::string uid = std::to_string(::getuid()), gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER) != 0) return fail_errno("unshare(CLONE_NEWUSER)");
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  TRY(write_file("/proc/self/setgroups", "deny"));
  TRY(write_file("/proc/self/uid_map", std::to_string(world.uid) + ' ' + uid + " 1"));
  return write_file("/proc/self/gid_map", std::to_string(world.gid) + ' ' + gid + " 1");
}

// The parent's number is of no use for checking whether it lives: it is outside, and so 0. It holds
// the other end of the channel as long as it does.
Status die_with_stage(const Fd& channel) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return fail_errno("prctl(PDEATHSIG)");
  pollfd end{channel.get(), 0, 0};
  if (::poll(&end, 1, 0) != 0) return fail(Errc::unavailable, "the start was called off");
  return {};
}

Status become_init(const World& world, const Fd& program, const Fd& channel) {
  TRY(mount_proc());
  TRY(take_limits(world.policy.limits));
  TRY(enter_users(world));
  if (!sys::write_all(channel, std::string_view(&kReady, 1))) ::_exit(1);  // the stage says why
  TRY(keep_capabilities(0));
  TRY(die_with_stage(channel));
  if (::setsid() < 0) return fail_errno("setsid");
  // What is the root of this process now is exchanged when the tree is complete, with this.
  if (::chdir("/") != 0) return fail_errno("chdir");
  if (::dup2(channel.get(), kInitStageFd) < 0) return fail_errno("dup2");
  char name[] = "oqto-init";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  (void)::syscall(SYS_execveat, program.get(), "", arguments, environment, AT_EMPTY_PATH);
  return fail_errno("execveat of oqto-init");
}

}  // namespace

Status keep_capabilities(std::uint64_t kept) {
  int capability = 0;
  while (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) ++capability;  // until there is none
  if (errno != EINVAL) return fail_errno("prctl(CAPBSET_DROP)");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const auto low = static_cast<std::uint32_t>(kept), high = static_cast<std::uint32_t>(kept >> 32);
  const __user_cap_data_struct sets[2] = {{low, low, 0}, {high, high, 0}};
  if (::syscall(SYS_capset, &header, sets) != 0) return fail_errno("capset");
  return {};
}

Result<FirstProcess> start_first_process(const World& world, const Fd& program) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno("socketpair");
  }
  FirstProcess first;
  first.channel = Fd::adopt(ends[0]);
  const Fd theirs = Fd::adopt(ends[1]);
  first.pid = ::fork();
  if (first.pid < 0) return fail_errno("fork");
  if (first.pid == 0) {
    first.channel.reset();
    const Status failed = become_init(world, program, theirs);
    const std::string why = explain(failed.error()) + '\n';
    (void)!::write(STDERR_FILENO, why.data(), why.size());
    ::_exit(1);
  }
  first.pidfd = TRY(sys::pidfd_open(first.pid));
  return first;
}

Status await_first_process(const FirstProcess& first) {
  char byte = 0;
  const ssize_t n = ::read(first.channel.get(), &byte, 1);
  if (n == 1 && byte == kReady) return {};
  return fail(Errc::unavailable, "");  // it has said why
}

Status let_go(const FirstProcess& first) {
  return sys::write_all(first.channel, std::string_view(&kGo, 1));
}

}  // namespace oqto::sandbox
