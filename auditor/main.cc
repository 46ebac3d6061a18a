// oqto-auditor: serves people of the role auditor. It reads the audit log and its own index, and
// can do nothing else: it commands no session, and writes no record but that of who reads.
#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "auditor/server.h"
#include "base/log.h"
#include "base/sys.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::auditor {
namespace {

constexpr char kUsage[] =
    "usage: oqto-auditor --state-dir DIR --log-dir DIR\n"
    "Serves the audit log to accounts of the role auditor. Started by oqto-guard, with its\n"
    "channels on descriptors 3 (guard) and 4 (audit).\n"
    "  --state-dir DIR  a directory of this user, mode 0700: an index that may be removed at any "
    "time\n"
    "  --log-dir DIR    the audit log, readable by a group of this user\n"
    "  --help           this text\n";

struct Options {
  std::string state_dir;
  std::string log_dir;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--state-dir") {
      options.state_dir = argv[i + 1];
    } else if (flag == "--log-dir") {
      options.log_dir = argv[i + 1];
    } else {
      return std::nullopt;
    }
  }
  if (argc % 2 == 0 || options.state_dir.empty() || options.log_dir.empty()) return std::nullopt;
  return options;
}

Status serve(const Options& options) {
  // --- as it was started: nothing of a peer has been read ---
  TRY(sys::adopt_inherited(ipc::kGuardFd, 2));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel audit(Fd::adopt(ipc::kAuditFd));
  const Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  audit::prepare_hashing();

  // --- sealed: it opens the log for reading, its index for writing, and makes one thread ---
  (void)TRY(sandbox::seal(
      {.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "files-write"},
       .also = {},
       .read_beneath = {options.log_dir},
       .write_beneath = {options.state_dir}}));
  mux::Reactor reactor;
  Server server({.reactor = reactor,
                 .guard = std::move(guard),
                 .audit = std::move(audit),
                 .view = TRY(LogView::open(options.log_dir)),
                 .log_dir = options.log_dir,
                 .state_dir = options.state_dir});
  const mux::Watch on_signal = reactor.watch(signals, [&] {
    signalfd_siginfo info;
    if (::read(signals.get(), &info, sizeof info) > 0) server.shut_down();
  });

  // --- serving ---
  TRY(server.start());
  reactor.run();
  return {};
}

}  // namespace
}  // namespace oqto::auditor

int main(int argc, char** argv) {
  using namespace oqto;
  log::set_process_name("auditor");
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(auditor::kUsage, stdout);
    return 0;
  }
  if (const Status closed = sys::close_from(ipc::kPeerFd); !closed) return log::exit_status(closed);
  const auto options = auditor::parse(argc, argv);
  if (!options) {
    std::fputs(auditor::kUsage, stderr);
    return 2;
  }
  (void)::signal(SIGPIPE, SIG_IGN);
  return log::exit_status(auditor::serve(*options));
}
