// oqto-launch: one per session, with the uid of the session's agent. Builds the sandbox,
// and then is its exec monitor. When it ends, however it ends, the session ends.
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/sys.h"
#include "sandbox/launch/prewarm.h"
#include "sandbox/launch/session_start.h"
#include "sandbox/monitor/filters.h"
#include "sandbox/monitor/session_monitor.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox;

constexpr int kPlanTimeoutMs = 30'000;
constexpr int kCleanUpMs = 2000;

constexpr const char* kUsage =
    "usage: oqto-launch --home DIR --workspace DIR --pi DIR --pi-cache DIR --init FILE\n"
    "       oqto-launch --prewarm --pi DIR --cache DIR --init FILE\n"
    "The first form is started by oqto-guard, with its descriptors. The second runs Pi once "
    "inside\n"
    "the layout of a session, so that DIR holds Node's compile cache; run it as an ordinary "
    "user.\n";

struct Options {
  bool prewarm = false;
  bool help = false;
  std::string cache;
  LaunchPaths paths;
};

Result<Options> parse(int argc, char** argv) {
  Options options;
  const struct {
    const char* name;
    std::string* value;
  } known[] = {{"--home", &options.paths.home}, {"--workspace", &options.paths.workspace},
               {"--pi", &options.paths.pi},     {"--pi-cache", &options.paths.pi_cache},
               {"--init", &options.paths.init}, {"--cache", &options.cache}};
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--help") == 0) {
      options.help = true;
      return options;
    }
    if (std::strcmp(argv[i], "--prewarm") == 0) {
      options.prewarm = true;
      continue;
    }
    std::string* value = nullptr;
    for (const auto& option : known) {
      if (std::strcmp(argv[i], option.name) == 0) value = option.value;
    }
    if (value == nullptr || i + 1 == argc || argv[i + 1][0] != '/') {
      return fail(Errc::invalid, "unknown option, or its value is not an absolute path");
    }
    *value = argv[++i];
  }
  const LaunchPaths& paths = options.paths;
  const bool complete =
      options.prewarm ? !paths.pi.empty() && !options.cache.empty() && !paths.init.empty()
                      : !paths.home.empty() && !paths.workspace.empty() && !paths.pi.empty() &&
                            !paths.pi_cache.empty() && !paths.init.empty();
  if (!complete) return fail(Errc::invalid, "an option is missing");
  return options;
}

// From here on: no new files but for reading, no programs, no sockets, no memory of others written.
// Landlock is not for us: a tracer must not be more confined than what it traces.
Status seal_monitor() {
  const Filter filter = launcher_filter();
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = const_cast<sock_filter*>(filter.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return fail_errno("seccomp");
  }
  return {};
}

Status refuse_session(ipc::Channel& guard, const std::string& why) {
  log::error("the session was not started", {{"why", why}});
  (void)guard.send(ipc::LaunchFailed{ipc::Text<512>(why)});
  return {};
}

// Whoever starts us may end everything that is left as soon as we have ended.
void await_janitor(const Fd& janitor) {
  pollfd done{janitor.get(), POLLIN, 0};
  if (janitor && ::poll(&done, 1, kCleanUpMs) > 0) (void)::waitpid(-1, nullptr, WNOHANG);
}

Status run(const LaunchPaths& paths) {
  // --- outside the sandbox, as the agent's uid; the guard's plan is all that is read ---
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel audit(Fd::adopt(ipc::kAuditFd));
  Fd refused = Fd::adopt(kRefusedFd);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT, SIGCHLD}));
  const auto received = guard.wait(kPlanTimeoutMs);
  if (!received && received.error().code == Errc::unavailable) return {};
  if (!received) return std::unexpected(received.error());
  const LaunchPlan plan = TRY(received->as<LaunchPlan>());

  // --- the stage and oqto-init ---
  auto started = start_session(plan, paths, guard, signals);
  if (!started) return refuse_session(guard, started.error().why);

  // --- sealed: monitoring ---
  Tracees tracees = TRY(Tracees::open());
  std::vector<AskPath> asks;
  for (const AskPlace& place : started->asks) {
    // A directory that does not exist has nothing to ask for, and must not fall to what is around
    // it.
    auto opened = place.denied ? Result<AskPath>(denied_path(place.inside))
                               : open_ask_path(place.inside, place.outside, place.automatic);
    asks.push_back(opened ? std::move(*opened) : denied_path(place.inside));
  }
  auto workspace = sys::open_dir(paths.workspace.c_str());
  const Fd janitor = std::move(started->janitor_fd);
  ipc::Loop loop = TRY(ipc::Loop::create());
  TRY(seal_monitor());
  TRY(guard.send(ipc::Ready{}));
  SessionMonitor monitor(
      {.session = plan.session,
       .guard = std::move(guard),
       .audit = std::move(audit),
       .signals = std::move(signals),
       .errors = std::move(started->errors),
       .refused = std::move(refused),
       .workspace = workspace ? std::move(*workspace) : Fd(),
       .stage = started->stage,
       .init_fd = std::move(started->init_fd),
       .monitor = {.listener = std::move(started->listener),
                   .tracees = std::move(tracees),
                   .run_own_programs = plan.policy.run_own_programs != 0,
                   .hash_programs = plan.policy.hash_programs != 0,
                   .ask = std::move(asks),
                   .ask_timeout_s = static_cast<std::uint32_t>(plan.policy.ask_timeout_s)}},
      std::move(loop));
  const Status ended = monitor.run();
  await_janitor(janitor);
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  log::set_process_name("oqto-launch");
  const auto options = parse(argc, argv);
  if (!options) {
    log::error("bad command line", options.error());
    (void)std::fputs(kUsage, stderr);
    return 2;
  }
  if (options->help) {
    (void)std::fputs(kUsage, stdout);
    return 0;
  }
  if (options->prewarm) {
    if (const Status closed = sys::close_from(3); !closed) return log::exit_status(closed);
    const auto done = prewarm(options->paths, options->cache);
    if (!done) log::error("Pi could not be prewarmed", {{"why", done.error().why}});
    return done ? 0 : 1;
  }
  if (const Status closed = sys::close_from(ipc::kGuardFd + kLaunchFdCount); !closed) {
    return log::exit_status(closed);
  }
  if (const Status adopted = sys::adopt_inherited(ipc::kGuardFd, kLaunchFdCount); !adopted) {
    return log::exit_status(adopted);
  }
  return log::exit_status(run(options->paths));
}
