// oqto-sandbox: runs programs so that they reach their project and nothing else. For any user, with
// neither root nor a daemon.
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "sandbox_cli/doctor.h"
#include "sandbox_cli/policy_commands.h"
#include "sandbox_cli/probe.h"
#include "sandbox_cli/run.h"
#include "sandbox_cli/text.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox_cli;

// Whatever our caller left open is not for us, and less so for what we start.
Status keep_only_stdio(std::optional<int> status_fd) {
  for (int number = 0; number <= 2; ++number) {
    // The lowest free number is the closed one.
    if (::fcntl(number, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != number) {
      return fail_errno("/dev/null");
    }
  }
  if (!status_fd || *status_fd <= 2) return sys::close_from(3);
  const auto kept = static_cast<unsigned>(*status_fd);
  if (::fcntl(*status_fd, F_SETFD, FD_CLOEXEC) != 0) {
    return fail(Errc::invalid, "--status-fd names a descriptor that is not open");
  }
  if (kept > 3 && ::close_range(3, kept - 1, 0) != 0) return fail_errno("close_range");
  return sys::close_from(*status_fd + 1);
}

int dispatch(const Options& options) {
  if (options.command == "run" || options.command == "shell") return run(options);
  if (options.command == "learn") return learn(options);
  if (options.command == "check") return check(options);
  if (options.command == "explain") return explain(options);
  if (options.command == "diff") return diff(options);
  if (options.command == "doctor") return doctor(options);
  print(completion(options.words[0]));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // --- nothing read but the command line ---
  log::set_process_name(kName);
  if (argc > 1 && std::string_view(argv[1]) == kProbeWord) {
    return attack_from_here({argv + 2, argv + argc});
  }
  const auto options = parse_options({argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)});
  if (const Status kept = keep_only_stdio(options ? options->status_fd : std::nullopt); !kept) {
    return wrong(kept.error().what);
  }
  if (!options) return wrong(options.error());
  if (options->help) {
    print(help(options->command));
    return 0;
  }
  if (options->version) {
    print(options->json ? Json::object().set("name", kName).set("version", kVersion).text()
                        : std::string(kName) + ' ' + kVersion);
    return 0;
  }

  // --- the user's own files, as the user; what policies say is read by a sealed child ---
  return dispatch(*options);
}
