#include "sandbox/world/stage.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/sys.h"
#include "sandbox/loopback.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/descriptors.h"
#include "sandbox/world/first_process.h"
#include "sandbox/world/idle_memory.h"
#include "sandbox/world/janitor.h"
#include "sandbox/world/namespaces.h"
#include "sandbox/world/stage_tree.h"
#include "sandbox/world/warden.h"

namespace oqto::sandbox {
namespace {

constexpr int kReportFd = 5;
constexpr int kJanitorFd = 6;
constexpr int kNamespacesFd = 7;
constexpr int kReadyFd = 8;
constexpr int kFirstFree = 9;
constexpr int kHigh = 100;  // above all targets, while descriptors are put in place

// What the warden needs: to mount, and to see what an agent has closed.
constexpr std::uint64_t kWardenCapabilities =
    1ULL << CAP_SYS_ADMIN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_DAC_READ_SEARCH;

using Outcome = std::expected<void, StartFailure>;

template <class Value>
std::expected<Value, StartFailure> said(Result<Value> result) {
  if (!result) return refuse(explain(result.error()));
  if constexpr (std::is_void_v<Value>) {
    return {};
  } else {
    return std::move(*result);
  }
}

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

Status place_descriptors(const StageFds& fds) {
  // Not owned: another one takes its number, or it closes with the rest.
  const int null = TRY(sys::open_file("/dev/null", O_RDWR)).release();
  const auto given = [null](int number) { return number >= 0 ? number : null; };
  const int sources[kFirstFree] = {null,
                                   null,
                                   fds.errors,
                                   fds.init_channel,
                                   fds.control,
                                   fds.report,
                                   given(fds.janitor),
                                   given(fds.namespaces),
                                   given(fds.ready)};
  int copies[kFirstFree];
  for (int i = 0; i < kFirstFree; ++i) {
    copies[i] = ::fcntl(sources[i], F_DUPFD_CLOEXEC, kHigh);
    if (copies[i] < 0) return fail_errno("fcntl(F_DUPFD)");
  }
  for (int i = 0; i < kFirstFree; ++i) {
    if (::dup2(copies[i], i) < 0) return fail_errno("dup2");
  }
  for (int number = kReportFd; number < kFirstFree; ++number) {
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) return fail_errno("fcntl(F_SETFD)");
  }
  TRY(sys::close_from(kFirstFree));
  return {};
}

// What the caller ignores or blocks is nothing to programs inside, and what its whole group is told
// is for the caller to pass on.
Status reset_signals() {
  if (::setsid() < 0) return fail_errno("setsid");
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)::sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return fail_errno("sigprocmask");
  return {};
}

bool has_own_network(const World& world) {
  return world.network == World::Network::isolated || world.network == World::Network::filtered;
}

Status enter_namespaces(const World& world, bool made) {
  const Fd process = Fd::adopt(kNamespacesFd), ready = Fd::adopt(kReadyFd);
  TRY(made ? join_namespaces(process, ready) : make_namespaces(has_own_network(world)));
  // Those of processes and of clocks begin with the next process: PID 1.
  if (::unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME) != 0) {
    return fail_errno("unshare: this host does not let users create namespaces");
  }
  // When memory runs out, a session goes before any part of the host. It cannot lower this again.
  TRY(write_file("/proc/self/oom_score_adj", "1000"));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno("mount(MS_PRIVATE): does an AppArmor profile restrict user namespaces?");
  }
  if (::sethostname(world.hostname.c_str(), world.hostname.size()) != 0) {
    return fail_errno("sethostname");
  }
  return {};
}

Status furnish_network(const World& world, const Fd& report) {
  if (world.network != World::Network::filtered) return {};
  TRY(add_pool());
  std::vector<Fd> sockets;
  sockets.push_back(TRY(bound_socket(SOCK_DGRAM, kResolver, 53)));
  sockets.push_back(TRY(bound_socket(SOCK_STREAM, kResolver, 53)));
  for (std::size_t i = 0; i < world.pool; ++i) sockets.push_back(TRY(unbound_socket()));
  return send_descriptors(report, sockets);
}

// Both wait for its end.
Status introduce(const FirstProcess& first, const Fd& report, const Fd& janitor) {
  std::vector<Fd> one;
  one.push_back(Fd::adopt(::fcntl(first.pidfd.get(), F_DUPFD_CLOEXEC, kFirstFree)));
  if (!one.back()) return fail_errno("fcntl(F_DUPFD)");
  TRY(send_descriptors(report, one));
  return janitor ? entrust(janitor, first.pidfd) : Status();
}

// What this process is from now on: unable to do anything else. It stays dumpable: the caller looks
// at the sandbox's network namespace by way of it, and no process inside can see it.
Status take_office(const Warden& warden) {
  (void)::prctl(PR_SET_NAME, "oqto-stage", 0, 0, 0);
  for (const int number : {kInitLaunchFd, kInitControlFd}) (void)::close(number);
  return keep_capabilities(warden.has_work() ? kWardenCapabilities : 0);
}

// Until PID 1 has ended. PID 1 ends with this process, and so the sandbox does, if it cannot deny
// any more what it must.
[[noreturn]] void be_warden(Warden& warden, const FirstProcess& first, const Fd& janitor) {
  do {  // also at once: what happened until now
    const auto restored = warden.has_work() ? warden.restore(janitor) : Outcome();
    pollfd end{first.pidfd.get(), POLLIN, 0};
    if (restored || ::poll(&end, 1, 0) > 0) {
      release_program_pages();
      continue;
    }
    const std::string why = "the sandbox ends: " + restored.error().why + '\n';
    (void)!::write(STDERR_FILENO, why.data(), why.size());
    break;
  } while (warden.wait(first.pidfd));
  (void)sys::pidfd_kill(first.pidfd, SIGKILL);
  int status = 0;
  while (::waitpid(first.pid, &status, 0) != first.pid) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

struct Built {
  Fd program;  // closes when PID 1 runs: the kernel takes its time
  FirstProcess first;
  Warden warden;
};

// PID 1 starts beside us, and goes on when its root is complete.
std::expected<Built, StartFailure> build(const World& world, const Layout& layout, const Fd& report,
                                         const Fd& janitor) {
  Tree tree(world, layout);
  TRY(tree.begin());
  Fd program = TRY(tree.init_program());
  FirstProcess first = TRY(said(start_first_process(world, program)));
  TRY(said(introduce(first, report, janitor)));
  TRY(tree.furnish());
  TRY(said(furnish_network(world, report)));
  if (janitor) TRY(said(await_stubs(janitor)));
  TRY(tree.fill());
  Warden warden = TRY(said(Warden::open(layout)));
  TRY(said(await_first_process(first)));
  TRY(tree.hide_host());
  TRY(tree.enter());
  TRY(said(warden.watch()));
  TRY(said(let_go(first)));
  return Built{std::move(program), std::move(first), std::move(warden)};
}

Outcome become(const World& world, const Layout& layout, const StageFds& fds, pid_t parent) {
  TRY(said(place_descriptors(fds)));
  TRY(said(reset_signals()));
  ::umask(022);
  Fd report = Fd::adopt(kReportFd);
  const Fd janitor = fds.janitor >= 0 ? Fd::adopt(kJanitorFd) : Fd();
  TRY(said(enter_namespaces(world, fds.namespaces >= 0)));
  TRY(said(sys::die_with_parent(parent)));  // after unshare, which clears it
  Built built = TRY(build(world, layout, report, janitor));
  report.reset();
  built.program.reset();
  TRY(said(take_office(built.warden)));
  be_warden(built.warden, built.first, janitor);
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
