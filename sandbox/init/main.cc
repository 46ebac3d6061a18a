// oqto-init: PID 1 of a session. It finishes the sandbox that the stage began, hands the exec
// listener out, and then starts, signals and reaps programs for the runner. It has the agent's uid,
// so everything that keeps the agent off it is here: not dumpable, /proc read-only, a filter.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sandbox/init/filters.h"
#include "sandbox/init/landlock.h"
#include "sandbox/init/mounts.h"
#include "sandbox/init/programs.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/idle_memory.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox;

constexpr int kPlanTimeoutMs = 10'000;

// stderr goes to the launcher, which has read enough of it by now.
Status detach_stdio(const Fd& null) {
  for (int number = 0; number <= 2; ++number) {
    if (::dup2(null.get(), number) < 0) return fail_errno("dup2");
  }
  return {};
}

// The tree is being built while this program starts.
Status await_tree(const InitPlan& plan) {
  const Fd stage = Fd::adopt(kInitStageFd);
  char byte = 0;
  if (::read(stage.get(), &byte, 1) != 1) ::_exit(1);  // it has ended, and says why
  if (::chdir(plan.workspace.str().c_str()) != 0) return fail_errno("chdir to the workspace");
  return {};
}

struct Confined {
  InitPlan plan;
  ipc::Loop loop;
  Fd signals;
  Fd null;
};

// Everything up to and including the filter; `launcher` is told nothing yet but the listener.
Result<Confined> confine(ipc::Channel& launcher, int& landlock_abi, std::string& where) {
  const auto received = TRY(launcher.wait(kPlanTimeoutMs));
  const InitPlan plan = TRY(received.as<InitPlan>());
  ipc::Loop loop = TRY(ipc::Loop::create());
  Fd signals = TRY(ipc::signal_fd({SIGCHLD}));
  TRY(await_tree(plan));
  TRY(verify_mounts(plan, where));
  Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  TRY(detach_stdio(null));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  landlock_abi = TRY(restrict_files(plan));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  const Fd listener = TRY(load_session_filter({.run_own_programs = plan.run_own_programs != 0,
                                               .notify_exec = plan.notify_exec != 0,
                                               .notify_open = plan.notify_open != 0}));
  TRY(launcher.send(ipc::ExecListener{}, listener));
  return Confined{plan, std::move(loop), std::move(signals), std::move(null)};
}

struct Runner final : ipc::Watcher {
  ipc::Channel channel;
  Programs* programs = nullptr;
  Status status;
  void on_ready(std::uint32_t) override {
    while (status) {
      const auto received = channel.receive();
      if (!received && received.error().code == Errc::limit) return;
      status = received ? programs->on_message(*received) : std::unexpected(received.error());
    }
  }
};

struct Children final : ipc::Watcher {
  Fd signals;
  Programs* programs = nullptr;
  Status status;
  void on_ready(std::uint32_t) override {
    char records[1024];
    while (::read(signals.get(), records, sizeof records) > 0) {
    }
    status = programs->reap();
  }
};

// Until the runner's end closes or it breaks the protocol. When PID 1 ends, so does everything.
Status serve(Confined confined) {
  Runner runner;
  runner.channel = ipc::Channel(Fd::adopt(kInitControlFd));
  Programs programs(confined.loop, runner.channel, std::move(confined.plan.env.values),
                    std::move(confined.null));
  Children children;
  children.signals = std::move(confined.signals);
  runner.programs = children.programs = &programs;
  TRY(confined.loop.watch(runner.channel.fd(), runner));
  TRY(confined.loop.watch(children.signals, children));
  for (bool settled = false; runner.status && children.status;) {
    const std::uint64_t before = sys::monotonic_ms();
    TRY(confined.loop.run_once(settled ? -1 : kSettleMs));
    if (settled || sys::monotonic_ms() - before < kSettleMs) continue;
    settled = true;
    release_program_pages();
  }
  return runner.status ? children.status : runner.status;
}

}  // namespace

int main() {
  // --- in the sandbox's namespaces; nothing untrusted has run ---
  log::set_process_name("oqto-init");
  (void)::prctl(PR_SET_NAME, "oqto-init", 0, 0, 0);  // it was executed by descriptor
  if (::getpid() != 1) {
    log::error("oqto-init is PID 1 of a session and is started by oqto-launch");
    return 2;
  }
  if (const Status closed = sys::close_from(kInitStageFd + 1); !closed) {
    return log::exit_status(closed);
  }
  if (const Status adopted = sys::adopt_inherited(kInitLaunchFd, 3); !adopted) {
    return log::exit_status(adopted);
  }
  ::umask(022);

  // --- Landlock, not dumpable, filter, its listener handed out ---
  Result<Confined> confined = fail(Errc::unavailable, "");
  {
    ipc::Channel launcher(Fd::adopt(kInitLaunchFd));
    int landlock_abi = 0;
    std::string where;  // the path that is not as planned
    confined = confine(launcher, landlock_abi, where);
    if (!confined) {
      const std::string what = where.empty() ? "" : '`' + where + "`: ";
      (void)launcher.send(ipc::InitFailed{ipc::Text<256>(what + explain(confined.error()))});
      return 1;
    }
    if (!launcher.send(ipc::InitReady{static_cast<std::uint32_t>(landlock_abi)})) return 1;
  }

  // --- sealed: programs of the agent run from here on ---
  return serve(std::move(*confined)) ? 0 : 1;
}
