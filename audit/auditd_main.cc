// oqto-auditd: the only writer of the audit log. It cannot sign: it asks oqto-audit-signer.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "audit/server.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kUsage =
    "usage: oqto-auditd --log-dir PATH [--segment-bytes N]\n"
    "Keeps the audit log in PATH. Started by oqto-guard: descriptor 3 is its channel to the "
    "guard,\n"
    "descriptor 5 the channel to oqto-audit-signer.\n"
    "  --log-dir PATH      an existing directory that belongs to this process's user\n"
    "  --segment-bytes N   begin a new segment file after N bytes (default 67108864)\n";

struct Arguments {
  std::string log_dir;
  Log::Options options;
};

[[noreturn]] void usage(std::FILE* out, int status) {
  (void)std::fputs(kUsage, out);
  std::exit(status);
}

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") usage(stdout, 0);
    if (i + 1 == argc) usage(stderr, 2);
    const std::string_view value = argv[++i];
    if (flag == "--log-dir") {
      arguments.log_dir = value;
    } else if (flag == "--segment-bytes") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(),
                                                arguments.options.segment_bytes);
      if (error != std::errc{} || end != value.data() + value.size() ||
          arguments.options.segment_bytes == 0 || arguments.options.segment_bytes > kMaxSegment) {
        usage(stderr, 2);
      }
    } else {
      usage(stderr, 2);
    }
  }
  if (arguments.log_dir.empty()) usage(stderr, 2);
  return arguments;
}

Status run(int argc, char** argv) {
  // --- nothing read yet ---
  TRY(sys::close_from(ipc::kFirstExtraFd));
  const Arguments arguments = read_arguments(argc, argv);
  TRY(sys::adopt_inherited(ipc::kGuardFd, ipc::kFirstExtraFd - ipc::kGuardFd));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel signer(Fd::adopt(ipc::kPeerFd));
  ::umask(077);
  ::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, as a full disk is
  ::signal(SIGINT, SIG_IGN);   // Ctrl-C is the guard's to handle: the others still have to report
  Fd signals = TRY(ipc::signal_fd({SIGTERM}));
  ipc::Loop loop = TRY(ipc::Loop::create());
  // Everybody waits for this process. Best effort: needs a privilege that it may not have been
  // given.
  (void)::setpriority(PRIO_PROCESS, 0, -15);
  prepare_hashing();
  // --- sealed: reads and writes beneath the log directory; no program, no socket ---
  const auto sealed =
      TRY(sandbox::seal({.sets = {"io", "memory", "clock", "exit", "files-read", "files-write"},
                         .also = {},
                         .write_beneath = {arguments.log_dir}}));
  Log log = TRY(Log::open(arguments.log_dir, arguments.options));
  Server server(sealed, std::move(loop), std::move(guard), std::move(signals), std::move(log));
  return server.serve(std::move(signer));
}

}  // namespace
}  // namespace oqto::audit

int main(int argc, char** argv) {
  oqto::log::set_process_name("auditd");
  return oqto::log::exit_status(oqto::audit::run(argc, argv));
}
