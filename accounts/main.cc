// oqto-accounts: who may sign in, and whose token is it.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "accounts/server.h"
#include "base/log.h"
#include "base/sys.h"
#include "sandbox/seal.h"

namespace oqto::accounts {
namespace {

constexpr char kUsage[] =
    "usage: oqto-accounts --state-dir DIR\n"
    "Keeps accounts, logins and invites in DIR/accounts.db. Started by oqto-guard, with its\n"
    "channels on descriptors 3 (guard), 4 (audit) and 5 (relay).\n"
    "  --state-dir DIR  a directory of this user, mode 0700\n"
    "  --help           this text\n";

// As many connections as descriptors allow, so that running out never cuts a message short.
Result<std::size_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("getrlimit");
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kMaxConnections + kSpareDescriptors);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("setrlimit");
  if (limit.rlim_cur <= kSpareDescriptors) return fail(Errc::limit, "too few descriptors allowed");
  return static_cast<std::size_t>(limit.rlim_cur) - kSpareDescriptors;
}

sandbox::Seal wanted_seal(const std::string& state_dir) {
  return {.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "files-write"},
          .also = {},
          .read_beneath = {},
          .write_beneath = {state_dir},
          .outbound_tcp = false};
}

Status serve(const std::string& state_dir) {
  // --- the service's user: nothing read yet ---
  TRY(sys::adopt_inherited(ipc::kGuardFd, 3));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  Recorder recorder{ipc::Channel(Fd::adopt(ipc::kAuditFd))};
  ipc::Channel relay(Fd::adopt(ipc::kPeerFd));
  const std::size_t max_connections = TRY(raise_descriptor_limit());
  Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  ipc::Loop loop = TRY(ipc::Loop::create());
  TRY(init_secrets());

  // --- its own database ---
  Database db = TRY(Store::open(state_dir));

  // --- sealed: no new sockets, no programs, no files but the database ---
  TRY(sandbox::seal(wanted_seal(state_dir)));
  const auto hasher = TRY(Hasher::start());
  Server server({.loop = loop, .recorder = recorder, .hasher = *hasher, .guard = std::move(guard),
                 .relay = std::move(relay), .signals = std::move(signals),
                 .max_connections = max_connections});
  Service service(db, recorder, *hasher, [&server](std::uint64_t login) { server.revoked(login); });
  TRY(service.start());

  // --- serving, until the guard goes ---
  return server.run(service);
}

}  // namespace
}  // namespace oqto::accounts

int main(int argc, char** argv) {
  using namespace oqto;
  log::set_process_name("accounts");
  if (const auto closed = sys::close_from(ipc::kFirstExtraFd); !closed) {
    return log::exit_status(closed);
  }
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(accounts::kUsage, stdout);
    return 0;
  }
  if (argc != 3 || std::string_view(argv[1]) != "--state-dir" || argv[2][0] != '/') {
    std::fputs(accounts::kUsage, stderr);
    return 2;
  }
  return log::exit_status(accounts::serve(argv[2]));
}
