// oqto-runner: one tenant's process. It speaks the canonical protocol with the tenant's browsers and
// drives the harnesses in that tenant's sandboxes. It can open nothing but its state directory.
#include <signal.h>
#include <sys/signalfd.h>

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/sys.h"
#include "ipc/loop.h"
#include "runner/tenant.h"
#include "sandbox/seal.h"

namespace oqto::runner {
namespace {

constexpr const char* kUsage =
    "oqto-runner --state-dir PATH --account N [--sleep-minutes N]\n"
    "Started by oqto-guard, with descriptors 3 (guard), 4 (auditd) and 5 (hstry).\n";

struct Options {
  std::string state_dir;
  std::uint32_t account = 0;
  std::uint32_t sleep_minutes = 15;  // without use, until a session's harness is ended
};

bool parse_number(std::string_view text, std::uint32_t& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (i + 1 >= argc) return std::nullopt;
    const std::string_view value = argv[i + 1];
    if (flag == "--state-dir") {
      options.state_dir = value;
    } else if (flag == "--account") {
      if (!parse_number(value, options.account)) return std::nullopt;
    } else if (flag == "--sleep-minutes") {
      if (!parse_number(value, options.sleep_minutes)) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (options.state_dir.empty() || options.account == 0) return std::nullopt;
  return options;
}

sandbox::Seal seal_for(const Options& options) {
  return {
      .sets = {"io", "memory", "clock", "exit", "threads", "files-read", "files-write", "unix-sockets",
               "memfd"},  // long commands go to auditd as sealed memory files
      .also = {"uname"},  // gRPC looks at the kernel's version
      .write_beneath = {options.state_dir},
  };
}

Status serve(const Options& options) {
  // --- as it was started: nothing of a peer has been read ---
  TRY(sys::adopt_inherited(ipc::kGuardFd, 3));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel audit(Fd::adopt(ipc::kAuditFd));
  Fd history = Fd::adopt(ipc::kPeerFd);
  const Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  Fd state_dir = TRY(sys::open_dir(options.state_dir.c_str()));

  // --- sealed: only the state directory can be opened; threads are made after this ---
  (void)TRY(sandbox::seal(seal_for(options)));
  Registry registry = TRY(Registry::load(state_dir));
  Reactor reactor;
  Tenant tenant(reactor, std::move(state_dir), std::move(registry), options.account, options.sleep_minutes * 60'000ULL);
  const Watch on_signal = reactor.watch(signals, [&] {
    signalfd_siginfo info;
    if (::read(signals.get(), &info, sizeof info) > 0) tenant.shut_down();
  });

  // --- serving ---
  TRY(tenant.start(std::move(guard), std::move(audit), std::move(history)));
  log::info("runner ready", {{"account", options.account}});
  reactor.run();
  return {};
}

}  // namespace
}  // namespace oqto::runner

int main(int argc, char** argv) {
  using namespace oqto;
  log::set_process_name("runner");
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(runner::kUsage, stdout);
    return 0;
  }
  if (const Status closed = sys::close_from(ipc::kFirstExtraFd); !closed) return log::exit_status(closed);
  const auto options = runner::parse(argc, argv);
  if (!options) {
    std::fputs(runner::kUsage, stderr);
    return 2;
  }
  (void)::signal(SIGPIPE, SIG_IGN);
  return log::exit_status(runner::serve(*options));
}
