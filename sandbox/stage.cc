#include "sandbox/stage.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/bubblewrap.h"
#include "sandbox/descriptors.h"
#include "sandbox/explain.h"
#include "sandbox/loopback.h"
#include "sandbox/nest.h"
#include "sandbox/stage_tree.h"

namespace oqto::sandbox {
namespace {

constexpr int kInfoFd = 5;
constexpr int kNetworkFd = 6;
constexpr int kStubsFd = 7;
constexpr int kFirstFree = 8;
constexpr int kHigh = 100;  // above all targets, while descriptors are put in place

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

Status place_descriptors(const StageFds& fds) {
  const Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  const int network = fds.network >= 0 ? fds.network : null.get();
  const int sources[kFirstFree] = {null.get(),  null.get(), fds.errors, fds.init_channel,
                                   fds.control, fds.info,   network,    fds.stubs};
  int copies[kFirstFree];
  for (int i = 0; i < kFirstFree; ++i) {
    copies[i] = ::fcntl(sources[i], F_DUPFD_CLOEXEC, kHigh);
    if (copies[i] < 0) return fail_errno("fcntl(F_DUPFD)");
  }
  for (int i = 0; i < kFirstFree; ++i) {
    if (::dup2(copies[i], i) < 0) return fail_errno("dup2");
  }
  for (const int number : {kNetworkFd, kStubsFd}) {
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return fail_errno("fcntl(F_SETFD)");
  }
  TRY(sys::close_from(kFirstFree));
  return {};
}

// What the caller ignores or blocks is nothing to programs inside.
Status reset_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)::sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return fail_errno("sigprocmask");
  return {};
}

Status enter_namespaces(bool network) {
  const std::string uid = std::to_string(::getuid());
  const std::string gid = std::to_string(::getgid());
  // The clocks' namespace begins with the processes that come after this one: bubblewrap's.
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWTIME | (network ? CLONE_NEWNET : 0)) != 0) {
    return fail_errno("unshare: this host does not let users create namespaces");
  }
  // New credentials made us undumpable, which would make /proc/self root's.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  // When memory runs out, a session goes before any part of the host. It cannot lower this again.
  TRY(write_file("/proc/self/oom_score_adj", "1000"));
  TRY(write_file("/proc/self/setgroups", "deny"));
  TRY(write_file("/proc/self/uid_map", uid + ' ' + uid + " 1"));
  TRY(write_file("/proc/self/gid_map", gid + ' ' + gid + " 1"));
  // Bubblewrap makes one more. Nothing in it makes another, whatever else it is permitted.
  TRY(write_file("/proc/sys/user/max_user_namespaces", "1"));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno("mount(MS_PRIVATE): does an AppArmor profile restrict user namespaces?");
  }
  return {};
}

Status furnish_network(const World& world) {
  if (world.network != World::Network::isolated && world.network != World::Network::filtered) {
    return {};
  }
  TRY(raise_loopback());
  if (world.network != World::Network::filtered) return {};
  std::vector<Fd> sockets;
  sockets.push_back(TRY(bound_socket(SOCK_DGRAM, kResolver, 53)));
  sockets.push_back(TRY(bound_socket(SOCK_STREAM, kResolver, 53)));
  for (std::size_t i = 0; i < world.pool; ++i) sockets.push_back(TRY(unbound_socket()));
  const Fd to = Fd::adopt(::fcntl(kNetworkFd, F_DUPFD_CLOEXEC, kFirstFree));
  return send_descriptors(to, sockets);
}

// As low as the policy says, or lower if the caller's limit is.
Status limit(__rlimit_resource resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return fail_errno("getrlimit");
  now.rlim_cur = now.rlim_max = std::min(value, now.rlim_max);
  if (::setrlimit(resource, &now) != 0) return fail_errno("setrlimit");
  return {};
}

// Processes are counted per user namespace: bubblewrap's, which it makes after this.
Status take_limits(const policies::Limits& limits) {
  TRY(limit(RLIMIT_NPROC, limits.max_processes));
  TRY(limit(RLIMIT_NOFILE, limits.open_files));
  TRY(limit(RLIMIT_FSIZE, limits.file_bytes));
  return limit(RLIMIT_CORE, 0);
}

std::expected<void, StartFailure> become(const World& world, const Layout& layout,
                                         const StageFds& fds, pid_t parent) {
  const auto step = [](const Status& status) -> std::expected<void, StartFailure> {
    if (!status) return refuse(explain(status.error()));
    return {};
  };
  TRY(step(place_descriptors(fds)));
  TRY(step(reset_signals()));
  ::umask(022);
  const bool network =
      world.network == World::Network::isolated || world.network == World::Network::filtered;
  TRY(step(enter_namespaces(network)));
  TRY(build_tree(world, layout, [] {
    char byte = 0;
    return ::read(kStubsFd, &byte, 1) == 1;
  }));
  TRY(step(furnish_network(world)));
  TRY(step(take_limits(world.policy.limits)));
  TRY(step(sys::die_with_parent(parent)));  // after unshare, which clears it
  if (world.finish == World::Finish::nest) return enter_nest(world, kInfoFd);
  std::vector<std::string> words = bubblewrap_words(world, kStageRoot, kInfoFd);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  ::execve(kBubblewrap, argv.data(), environment);
  return step(fail_errno("execve of /usr/bin/bwrap: is the package bubblewrap installed?"));
}

// fork(2), with the child born in `cgroup`.
pid_t fork_into(int cgroup) {
  if (cgroup < 0) return ::fork();
  clone_args arguments{};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<unsigned>(cgroup);
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

}  // namespace

Result<pid_t> start_stage(const World& world, const Layout& layout, const StageFds& fds,
                          int cgroup) {
  const pid_t parent = ::getpid();
  const pid_t pid = fork_into(cgroup);
  if (pid < 0) return fail_errno("fork");
  if (pid > 0) return pid;
  const auto failed = become(world, layout, fds, parent);
  const std::string why = failed.error().why + (failed.error().why.empty() ? "" : "\n");
  (void)!::write(STDERR_FILENO, why.data(), why.size());  // which the parent reads
  ::_exit(1);
}

}  // namespace oqto::sandbox
