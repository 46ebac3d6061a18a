#include "sandbox/session_start.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "sandbox/agent_dir.h"
#include "sandbox/bubblewrap.h"
#include "sandbox/explain.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kStartMs = 20'000;
constexpr std::size_t kMaxErrorText = 2048;

Result<DirectoryId> identify(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  if (::fstat(fd, &opened) != 0 || !S_ISDIR(opened.st_mode)) {
    return fail(Errc::invalid, "a descriptor of the plan is not a directory");
  }
  if (::stat(path.c_str(), &named) != 0) {
    return fail_errno("a directory is out of the agent uid's reach: parents must be searchable");
  }
  const DirectoryId id{opened.st_dev, opened.st_ino};
  if (id != DirectoryId{named.st_dev, named.st_ino}) {
    return fail(Errc::denied, "a path no longer names the directory that was opened");
  }
  return id;
}

Status mount_agent_files(Bubblewrap& bwrap) {
  const Fd home = Fd::adopt(kHomeFd);
  TRY(prepare_agent_dir(home));
  TRY(bwrap.add_bind_fd(home, kInsideHome));
  const std::string agent_dir = std::string(kInsideHome) + "/.pi/agent/";
  TRY(bwrap.add_read_only_fd(Fd::adopt(kModelsFd), agent_dir + "models.json"));
  TRY(bwrap.add_read_only_fd(Fd::adopt(kSettingsFd), agent_dir + "settings.json"));
  return bwrap.add_file(agent_dir + "auth.json", "{}");
}

// Fills in `plan`; what is mounted where.
Result<Bubblewrap> arrange(const LaunchPaths& paths, InitPlan& plan) {
  plan.workspace = TRY(identify(kWorkspaceFd, paths.workspace));
  plan.home = TRY(identify(kHomeFd, paths.home));
  plan.has_compile_cache = ::access(paths.pi_cache.c_str(), R_OK | X_OK) == 0;
  Bubblewrap bwrap = TRY(Bubblewrap::base(false));
  bwrap.add({"--ro-bind", paths.pi, kInsidePi, "--ro-bind", paths.init, kInsideInit});
  if (plan.has_compile_cache != 0) bwrap.add({"--ro-bind", paths.pi_cache, kInsidePiCache});
  TRY(mount_agent_files(bwrap));
  TRY(bwrap.add_bind_fd(Fd::adopt(kWorkspaceFd), kInsideWorkspace));
  bwrap.add({"--as-pid-1"});
  bwrap.add_end();
  bwrap.add({kInsideInit});
  return bwrap;
}

// The start as a small state machine over four descriptors.
class Start {
 public:
  Start(ipc::Channel init, Fd errors, const ipc::Channel& guard, const Fd& signals)
      : init_(std::move(init)), errors_(std::move(errors)), guard_(guard), signals_(signals) {}

  // The listener, once oqto-init is ready.
  std::expected<Fd, StartFailure> wait() {
    const std::uint64_t deadline = sys::monotonic_ms() + kStartMs;
    for (;;) {
      const std::uint64_t now = sys::monotonic_ms();
      if (now >= deadline) return failed("the sandbox did not become ready in time");
      std::array<pollfd, 4> ends = {{{init_.fd().get(), POLLIN, 0},
                                     {errors_.get(), POLLIN, 0},
                                     {guard_.fd().get(), POLLIN, 0},
                                     {signals_.get(), POLLIN, 0}}};
      if (::poll(ends.data(), ends.size(), static_cast<int>(deadline - now)) < 0) continue;
      read_errors();
      if (ends[0].revents != 0) {
        const auto done = on_init();
        if (!done) return std::unexpected(done.error());
        if (*done) return std::move(listener_);
      }
      // Nothing is expected from the guard now: it is gone, or it wants us to stop.
      if (ends[2].revents != 0 || ends[3].revents != 0) return failed("the start was called off");
    }
  }

  Fd take_errors() { return std::move(errors_); }

 private:
  static std::unexpected<StartFailure> because(std::string_view why) {
    return std::unexpected(StartFailure{std::string(why)});
  }

  // `why`, unless bubblewrap said something better.
  std::unexpected<StartFailure> failed(std::string_view why) {
    read_errors();
    std::replace(said_.begin(), said_.end(), '\n', ' ');
    return because(said_.empty() ? why : said_);
  }

  void read_errors() {
    char piece[512];
    ssize_t n;
    while (said_.size() < kMaxErrorText && (n = ::read(errors_.get(), piece, sizeof piece)) > 0) {
      said_.append(piece, static_cast<std::size_t>(n));
    }
  }

  std::expected<bool, StartFailure> on_init() {
    auto received = init_.receive();
    if (!received && received.error().code == Errc::limit) return false;
    if (!received) {  // it ended; let it finish saying why
      pollfd last{errors_.get(), POLLIN, 0};
      (void)::poll(&last, 1, 1000);
      return failed("the sandbox ended before it was ready");
    }
    if (const auto failure = received->as<ipc::InitFailed>()) return because(failure->why.view());
    if (received->as<ipc::ExecListener>() && !listener_) {
      listener_ = std::move(received->fd);
      return false;
    }
    if (received->as<ipc::InitReady>() && listener_) return true;
    return failed("oqto-init answered out of turn");
  }

  ipc::Channel init_;
  Fd errors_;
  const ipc::Channel& guard_;
  const Fd& signals_;
  Fd listener_;
  std::string said_;
};

struct Begun {
  StartedSession session;
  ipc::Channel init;
};

Result<Begun> begin(const LaunchPlan& plan, const LaunchPaths& paths) {
  // What a policy may ask for one day and this host cannot do is refused, never ignored.
  if (plan.policy.network != policies::Network::isolated) {
    return fail(Errc::invalid, "network: only the mode `isolated` can be enforced by this version");
  }
  InitPlan init_plan;
  init_plan.run_own_programs = plan.policy.run_own_programs;
  const Bubblewrap bwrap = TRY(arrange(paths, init_plan));
  auto [ours, theirs] = TRY(sys::seqpacket_pair());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("pipe2");
  Begun begun;
  begun.session.errors = Fd::adopt(ends[0]);
  const Fd said = Fd::adopt(ends[1]);
  const Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  const Fd control = Fd::adopt(kControlFd);
  begun.session.bubblewrap =
      TRY(bwrap.start(plan.policy.limits, {{null.get(), 0},
                                           {null.get(), 1},
                                           {said.get(), 2},
                                           {theirs.get(), kInitLaunchFd},
                                           {control.get(), kInitControlFd}}));
  begun.session.bubblewrap_fd = TRY(sys::pidfd_open(begun.session.bubblewrap));
  begun.init = ipc::Channel(std::move(ours));
  TRY(begun.init.send(init_plan));
  return begun;
}

}  // namespace

std::expected<StartedSession, StartFailure> start_session(const LaunchPlan& plan,
                                                          const LaunchPaths& paths,
                                                          const ipc::Channel& guard,
                                                          const Fd& signals) {
  auto begun = begin(plan, paths);
  if (!begun) return std::unexpected(StartFailure{explain(begun.error())});
  Start start(std::move(begun->init), std::move(begun->session.errors), guard, signals);
  auto listener = start.wait();
  if (!listener) return std::unexpected(listener.error());
  begun->session.listener = std::move(*listener);
  begun->session.errors = start.take_errors();
  return std::move(begun->session);
}

}  // namespace oqto::sandbox
