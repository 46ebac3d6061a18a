#include "sandbox/nest.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox/explain.h"
#include "sandbox/layout.h"
#include "sandbox/stage_tree.h"

namespace oqto::sandbox {
namespace {

constexpr int kParentFd = 3;

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

// No capability now, none by an exec, none by a file.
Status give_up_capabilities() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
      return fail_errno("prctl(CAPBSET_DROP)");
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[2] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return fail_errno("capset");
  return {};
}

// As PID 1 of the new namespace, still with the stage's capabilities.
Status enter_root() {
  const std::string proc = std::string(kStageRoot) + "/proc";
  if (::mount("proc", proc.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return fail_errno("mount of /proc: is a part of this host's own /proc covered?");
  }
  // The new root on top of the old one, and the old one away, without a directory for it.
  if (::chdir(kStageRoot) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) {
    return fail_errno("pivot_root");
  }
  if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) return fail_errno("umount2");
  return {};
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
// the other end of this pipe as long as it does.
Status die_with_parent(const Fd& parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return fail_errno("prctl(PDEATHSIG)");
  pollfd end{parent.get(), POLLIN, 0};
  if (::poll(&end, 1, 0) != 0) return fail(Errc::unavailable, "the start was called off");
  return {};
}

Status become_init(const World& world, const Fd& parent) {
  TRY(enter_root());
  TRY(enter_users(world));
  TRY(give_up_capabilities());
  TRY(die_with_parent(parent));
  if (::setsid() < 0) return fail_errno("setsid");
  if (::chdir(world.workspace.inside.c_str()) != 0) return fail_errno("chdir to the workspace");
  char name[] = "oqto-init";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  ::execve(kInsideInit, arguments, environment);
  return fail_errno("execve of oqto-init");
}

[[noreturn]] void wait_for_init(pid_t init) {
  int status = 0;
  while (::waitpid(init, &status, 0) != init) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

Status begin(const World& world, int info) {
  if (::unshare(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0) {
    return fail_errno("unshare");
  }
  if (::sethostname(world.hostname.c_str(), world.hostname.size()) != 0) {
    return fail_errno("sethostname");
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  const Fd read_end = Fd::adopt(ends[0]);
  Fd write_end = Fd::adopt(ends[1]);
  const pid_t init = ::fork();
  if (init < 0) return fail_errno("fork");
  if (init == 0) {
    write_end.reset();
    return become_init(world, read_end);
  }
  const Fd report = Fd::adopt(::fcntl(info, F_DUPFD_CLOEXEC, 3));
  TRY(sys::write_all(report, "{\"child-pid\": " + std::to_string(init) + "}\n"));
  (void)::prctl(PR_SET_NAME, "oqto-nest", 0, 0, 0);
  TRY(give_up_capabilities());
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  // Errors have their descriptor, and PID 1 its end of the pipe; nothing else is needed.
  if (write_end.get() != kParentFd && ::dup2(write_end.get(), kParentFd) < 0) {
    return fail_errno("dup2");
  }
  TRY(sys::close_from(kParentFd + 1));
  wait_for_init(init);
}

}  // namespace

std::expected<void, StartFailure> enter_nest(const World& world, int info) {
  return refuse(explain(begin(world, info).error()));
}

}  // namespace oqto::sandbox
