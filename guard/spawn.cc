#include "guard/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace oqto::guard {
namespace {

constexpr int kFirstChildFd = 3;
constexpr int kScratch = 200;  // above every number that a child is given
constexpr int kExecTimeoutMs = 2000;  // whoever has the new uid can stop the child before its exec

// Never above what we have ourselves: raising a hard limit needs a capability that we gave up.
Status limit(__rlimit_resource resource, rlim_t value) {
  rlimit both{};
  if (::getrlimit(resource, &both) != 0) return fail_errno("getrlimit");
  both.rlim_cur = both.rlim_max = std::min(value, both.rlim_max);
  if (::setrlimit(resource, &both) != 0) return fail_errno("setrlimit");
  return {};
}

Status give_up_root(uid_t uid, gid_t group) {
  if (::setgroups(group != 0 ? 1 : 0, &group) != 0) return fail_errno("setgroups");
  if (::setresgid(uid, uid, uid) != 0) return fail_errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) return fail_errno("setresuid");
  return {};
}

// The tenant's policy file, opened with the tenant's own rights.
Result<Fd> open_tenant_file(const Spawn& wanted) {
  auto file = sys::open_beneath(*wanted.open_beneath, wanted.open_path,
                                O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && (file.error().sys == ENOENT || file.error().sys == ENOTDIR)) {
    return sys::open_file("/dev/null", O_RDONLY);
  }
  struct stat info{};
  if (!file || ::fstat(file->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return fail(Errc::invalid, "the workspace's .oqto/sandbox.toml must be a file that the agent may "
                               "read, behind no symbolic link");
  }
  return file;
}

// Everything that a child keeps, moved to 3, 4, 5 …; the rest is closed at exec.
Status place_descriptors(const Spawn& wanted, int null_fd) {
  std::vector<int> moved;
  for (const Fd* fd : wanted.fds) {
    const int copy = ::fcntl(fd != nullptr && *fd ? fd->get() : null_fd, F_DUPFD_CLOEXEC, kScratch);
    if (copy < 0) return fail_errno("fcntl(F_DUPFD)");
    moved.push_back(copy);
  }
  const int program = ::fcntl(wanted.program.get(), F_DUPFD_CLOEXEC, kScratch);
  if (program < 0) return fail_errno("fcntl(F_DUPFD)");
  int next = kFirstChildFd;
  for (const int copy : moved) {
    if (::dup2(copy, next++) < 0) return fail_errno("dup2");
  }
  if (::dup2(program, kScratch - 1) < 0) return fail_errno("dup2");
  return {};
}

// Runs in the child, after fork; single-threaded, so allocation is safe here.
Status become(const Spawn& wanted, pid_t parent) {
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return fail_errno("sigprocmask");
  if (::setsid() < 0) return fail_errno("setsid");
  if (wanted.netns != nullptr && ::setns(wanted.netns->get(), CLONE_NEWNET) != 0) {
    return fail_errno("setns to its network (a container that shares its host's needs a network of its own)");
  }
  const Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  if (::dup2(null.get(), 0) < 0 || ::dup2(2, 1) < 0) return fail_errno("dup2");
  ::umask(077);
  TRY(give_up_root(wanted.uid, wanted.group));
  TRY(sys::die_with_parent(parent));
  TRY(limit(RLIMIT_CORE, 0));
  if (wanted.max_processes != 0) TRY(limit(RLIMIT_NPROC, wanted.max_processes));

  Spawn placed = wanted;
  Fd tenant_file;
  if (wanted.open_beneath != nullptr) {
    tenant_file = TRY(open_tenant_file(wanted));
    placed.fds.push_back(&tenant_file);
  }
  TRY(place_descriptors(placed, null.get()));
  const int kept = kFirstChildFd + static_cast<int>(placed.fds.size());
  // Close-on-exec for the rest: execveat needs the program's descriptor until it succeeds.
  if (::syscall(SYS_close_range, kept, ~0U, 1U << 2) != 0) return fail_errno("close_range");

  std::vector<char*> argv{const_cast<char*>(wanted.name.c_str())};
  for (const std::string& arg : wanted.args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  char path[] = "PATH=/usr/bin:/bin";
  char lang[] = "LANG=C.UTF-8";
  char* environment[] = {path, lang, nullptr};
  TRY(limit(RLIMIT_NOFILE, wanted.max_files));  // now: more than these may have been open
  ::syscall(SYS_execveat, kScratch - 1, "", argv.data(), environment, AT_EMPTY_PATH);
  return fail_errno("execveat");
}

// fork(2), but born in the cgroup: there is no moment in which it or a child of it is outside. Not
// through libc, which has no such call; we have one thread, so nothing needs its handlers.
pid_t fork_into(const Fd* cgroup) {
  clone_args wanted{};
  wanted.exit_signal = SIGCHLD;
  if (cgroup != nullptr && *cgroup) {
    wanted.flags = CLONE_INTO_CGROUP;
    wanted.cgroup = static_cast<__u64>(cgroup->get());
  }
  return static_cast<pid_t>(::syscall(SYS_clone3, &wanted, sizeof wanted));
}

}  // namespace

Result<Spawned> spawn(const Spawn& wanted) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  Fd read_end = Fd::adopt(ends[0]);
  Fd write_end = Fd::adopt(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t pid = fork_into(wanted.cgroup);
  if (pid < 0) return fail_errno("clone3");
  if (pid == 0) {
    // The pipe must survive the placing of descriptors above 2.
    const int report = ::fcntl(write_end.get(), F_DUPFD_CLOEXEC, kScratch + 64);
    const Status status = become(wanted, parent);
    const Error error = status ? Error{} : status.error();
    (void)!::write(report, &error, sizeof error);
    ::_exit(127);
  }
  write_end.reset();
  auto pidfd = sys::pidfd_open(pid);
  Error error{Errc::unavailable, "a program did not start in time", 0};
  pollfd decided{read_end.get(), POLLIN, 0};
  const bool in_time = ::poll(&decided, 1, kExecTimeoutMs) == 1;
  // EOF: the exec has happened.
  if (!in_time || ::read(read_end.get(), &error, sizeof error) == static_cast<ssize_t>(sizeof error)) {
    (void)::kill(pid, SIGKILL);
    (void)::waitpid(pid, nullptr, 0);
    return std::unexpected(error);  // `what` is static text: the same address in both processes
  }
  if (!pidfd) return std::unexpected(pidfd.error());
  return Spawned{pid, std::move(*pidfd)};
}

}  // namespace oqto::guard
