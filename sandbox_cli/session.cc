#include "sandbox_cli/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/idle_memory.h"
#include "sandbox_cli/services.h"

namespace oqto::sandbox_cli {
namespace {

constexpr int kLookMs = 1000;  // how often we look whether we came to the foreground
constexpr int kGoneMs = 3000;  // for what is left inside, and for the janitor
constexpr std::uint64_t kMsPerSecond = 1000;

Fd copy_of(int number) {
  return Fd::adopt(::fcntl(number, F_DUPFD_CLOEXEC, 3));
}

bool wait_for(const Fd& fd, int timeout_ms) {
  pollfd entry{fd.get(), POLLIN, 0};
  return !fd || ::poll(&entry, 1, timeout_ms) > 0;
}

}  // namespace

Session::Session(const Options& options, Setup setup, ipc::Loop loop, Fd signals)
    : options_(options),
      setup_(std::move(setup)),
      loop_(std::move(loop)),
      signals_(std::move(signals)),
      terminal_(loop_),
      prompter_(loop_, terminal_) {}

Session::~Session() = default;

Ended Session::run() {
  if (auto started = start(); !started) {
    end(kNotStarted, started.error());
  } else {
    serve();
  }
  finish();
  return std::move(ended_);
}

// --- starting ----------------------------------------------------------------------------------

Outcome<> Session::start() {
  services_ = std::make_unique<Services>(options_, setup_, loop_, prompter_);
  TRY(services_->open());
  TRY(start_cgroup());
  const auto stops = ipc::signal_fd({SIGTERM, SIGINT, SIGHUP, SIGQUIT});
  if (!stops) return std::unexpected("no descriptor for signals");
  leave_ignored_signals();
  sandbox::StartWith with;
  with.call_off = {stops->get()};
  with.namespaces = std::move(setup_.namespaces);
  if (leaf_) with.cgroup = leaf_.directory().get();
  candidates_ = program_candidates(options_.program[0], setup_.world, setup_.workspace.path);
  auto control = sys::seqpacket_pair();
  if (!control) return std::unexpected("no descriptors for oqto-init");
  sandbox_.control = ipc::Channel(std::move(control->first));
  with.control = std::move(control->second);
  // It waits there for oqto-init, so that oqto-init need not wait for it.
  const bool at_once = !services_->must_be_first();
  if (at_once) start_program();
  auto started = sandbox::start_sandbox(setup_.world, std::move(with));
  if (!started) {
    signalfd_siginfo info{};
    if (::read(stops->get(), &info, sizeof info) == sizeof info) {
      end(kSignalled + static_cast<int>(info.ssi_signo), "called off before it was started");
    }
    return std::unexpected(started.error().why);
  }
  started->control = std::move(sandbox_.control);
  sandbox_ = std::move(*started);
  TRY(watch());
  TRY(services_->start(sandbox_));
  const policies::Limits& limits = setup_.policy.policy.limits;
  wall_clock_at_ = sys::monotonic_ms() + limits.wall_clock_s * kMsPerSecond;
  settle_at_ = sys::monotonic_ms() + sandbox::kSettleMs;
  if (!at_once) start_program();
  return {};
}

Outcome<> Session::start_cgroup() {
  const sandbox::Policy& policy = setup_.policy.policy;
  const bool required = policy.cgroups == policies::Cgroups::required;
  auto tree = sandbox::CgroupTree::create("oqto-sandbox-" + std::to_string(::getpid()));
  const bool enough = tree && tree->controllers().enough();
  if (!enough && required) {
    if (tree) tree->remove_tree();
    return std::unexpected("the policy requires cgroups (" +
                           origin_of(setup_.policy, "limits.cgroups") +
                           "), and this host gives none: " + sandbox::cgroup_advice(tree));
  }
  if (!tree) return {};
  tree_ = std::move(*tree);
  struct stat info {};
  const bool known = ::fstat(setup_.workspace.fd.get(), &info) == 0;
  auto leaf = tree_->make("session", policy.limits, known ? info.st_dev : 0);
  if (leaf) {
    leaf_ = std::move(*leaf);
  } else if (required) {
    return std::unexpected("the policy requires cgroups: " + sandbox::explain(leaf.error()));
  }
  return {};
}

Outcome<> Session::watch() {
  if (!loop_.watch(sandbox_.control.fd(), control_watch_) ||
      !loop_.watch(signals_, signal_watch_) || !loop_.watch(sandbox_.errors, errors_watch_) ||
      !loop_.watch(sandbox_.init_fd, gone_watch_)) {
    return std::unexpected("the sandbox cannot be watched: too many open files?");
  }
  return {};
}

Outcome<> Session::give_stdio() {
  const struct {
    int number;
    ipc::StdioKind kind;
  } all[] = {{0, ipc::StdioKind::in}, {1, ipc::StdioKind::out}, {2, ipc::StdioKind::err}};
  for (const auto& [number, kind] : all) {
    if (terminal_.is_terminal(number)) continue;
    if (const Status sent = sandbox_.control.send(ipc::GiveStdio{program_, kind}, copy_of(number));
        !sent) {
      return std::unexpected("oqto-init cannot be given descriptors: " +
                             sandbox::explain(sent.error()));
    }
  }
  return {};
}

// The next place where the program may be.
void Session::start_program() {
  if (candidates_.empty()) return;
  std::vector<std::string> argv = options_.program;
  argv[0] = std::move(candidates_.front());
  candidates_.pop_front();
  ++program_;
  ipc::StartProgram wanted;
  wanted.program = program_;
  wanted.argv.values = std::move(argv);
  wanted.cwd = std::string_view(setup_.workspace.path);
  if (terminal_.any()) {
    const Terminal::Size size = terminal_.size();
    wanted.rows = size.rows;
    wanted.columns = size.columns;
  }
  if (const auto given = give_stdio(); !given) {
    end(kNotStarted, given.error());
  } else if (!sandbox_.control.send(wanted)) {
    end(kNotStarted, "oqto-init does not answer");
  }
}

// --- while it runs -----------------------------------------------------------------------------

void Session::serve() {
  while (!done_) {
    if (!loop_.run_once(next_timeout())) {
      end(kNotStarted, "waiting for the sandbox failed");
      return;
    }
    tick();
  }
}

int Session::next_timeout() const {
  const std::uint64_t now = sys::monotonic_ms();
  std::uint64_t at = now + (terminal_.any() ? kLookMs : 60 * kLookMs);
  for (const std::uint64_t each :
       {wall_clock_at_, kill_at_, settle_at_, prompter_.deadline()}) {
    if (each != 0) at = std::min(at, each);
  }
  const int services = services_->timeout_ms();
  if (services >= 0) at = std::min(at, now + static_cast<std::uint64_t>(services));
  return at <= now ? 0 : static_cast<int>(at - now);
}

void Session::tick() {
  const std::uint64_t now = sys::monotonic_ms();
  terminal_.resume();
  prompter_.tick(now);
  services_->tick();
  if (settle_at_ != 0 && now >= settle_at_) {
    settle_at_ = 0;
    sandbox::release_program_pages();
  }
  if (wall_clock_at_ != 0 && now >= wall_clock_at_) {
    wall_clock_at_ = 0;
    stop_for("wall_clock_s of " + std::to_string(setup_.policy.policy.limits.wall_clock_s) +
                 " s is over (" + origin_of(setup_.policy, "limits.wall_clock_s") + ')',
             kSignalled + SIGTERM);
  }
  if (kill_at_ != 0 && now >= kill_at_) {
    kill_at_ = 0;
    end(stop_status_ == 0 ? kSignalled + SIGKILL : stop_status_, stop_rule_);
  }
}

// SIGTERM, and SIGKILL for all of it when that does not help.
void Session::stop_for(std::string rule, int status) {
  if (stop_rule_.empty()) {
    stop_rule_ = std::move(rule);
    stop_status_ = status;
  }
  if (kill_at_ == 0) kill_at_ = sys::monotonic_ms() + kStopMs;
  pass_on(SIGTERM);
  pass_on(SIGCONT);
}

void Session::end(int status, std::string rule) {
  if (done_) return;
  done_ = true;
  ended_.status = status;
  ended_.rule = std::move(rule);
}

// --- ending ------------------------------------------------------------------------------------

void Session::finish() {
  prompter_.close();
  terminal_.detach();
  if (sandbox_.stage > 0) {
    (void)sys::pidfd_kill(sandbox_.init_fd, SIGKILL);
    if (leaf_) (void)leaf_.kill();
    (void)wait_for(sandbox_.init_fd, kGoneMs);
    // Until its stubs are gone the workspace is not as it was.
    (void)wait_for(sandbox_.janitor_fd, kGoneMs);
    if (sandbox_.janitor > 0) (void)::waitpid(sandbox_.janitor, nullptr, WNOHANG);
  }
  if (services_) services_->close();
  if (tree_) {
    // The stage has nothing left to do, but it is in the leaf.
    if (sandbox_.stage > 0 && !reaped_) (void)::waitpid(sandbox_.stage, nullptr, 0);
    if (leaf_) (void)tree_->remove(leaf_);
    tree_->remove_tree();
  }
}

}  // namespace oqto::sandbox_cli
