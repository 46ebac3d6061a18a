// oqto-accounts: who may sign in, and whose token is it.
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/owed.h"
#include "accounts/server.h"
#include "base/log.h"
#include "base/sys.h"
#include "sandbox/seal.h"

namespace oqto::accounts {
namespace {

constexpr char kUsage[] =
    "usage: oqto-accounts --state-dir DIR [--last-account N] [--unavailable TEXT]...\n"
    "Keeps accounts, logins and invites in DIR/accounts.db. Started by oqto-guard, with its\n"
    "channels on descriptors 3 (guard), 4 (audit) and 5 (relay).\n"
    "  --state-dir DIR  a directory of this user, mode 0700\n"
    "  --last-account N the last account that has uids on this host (default 65535)\n"
    "  --unavailable T  \"PROFILE: why\", of one that this host cannot enforce\n"
    "  --help           this text\n";

struct Options {
  std::string state_dir;
  std::vector<std::string> unavailable;
  std::uint32_t last_account = kMaxAccountId;
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (i + 1 >= argc) return std::nullopt;
    if (flag == "--state-dir") {
      options.state_dir = argv[i + 1];
    } else if (flag == "--last-account") {
      const std::string_view text = argv[i + 1];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), options.last_account);
      if (error != std::errc() || end != text.data() + text.size() || options.last_account > kMaxAccountId) return std::nullopt;
    } else if (flag == "--unavailable") {
      options.unavailable.emplace_back(argv[i + 1]);
    } else {
      return std::nullopt;
    }
  }
  if (!options.state_dir.starts_with('/')) return std::nullopt;
  return options;
}

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

Status serve(const Options& options) {
  // --- the service's user: nothing read yet ---
  TRY(sys::adopt_inherited(ipc::kGuardFd, 3));
  ::signal(SIGXFSZ, SIG_IGN);  // a file size limit is an error of the write, as a full disk is
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  Recorder recorder{ipc::Channel(Fd::adopt(ipc::kAuditFd))};
  ipc::Channel relay(Fd::adopt(ipc::kPeerFd));
  const std::size_t max_connections = TRY(raise_descriptor_limit());
  Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  ipc::Loop loop = TRY(ipc::Loop::create());
  TRY(init_secrets());

  // --- its own database ---
  Database db = TRY(Store::open(options.state_dir));
  db.keep_room();
  Owed owed = Owed::open(options.state_dir);

  // --- sealed: no new sockets, no programs, no files but the database ---
  TRY(sandbox::seal(wanted_seal(options.state_dir)));
  const auto hasher = TRY(Hasher::start());
  Server server({.loop = loop, .recorder = recorder, .hasher = *hasher, .guard = std::move(guard),
                 .relay = std::move(relay), .signals = std::move(signals),
                 .max_connections = max_connections});
  Service service(db, recorder, *hasher,
                  {.revoked = [&](std::uint64_t login) { server.revoked(login); },
                   .ended = [&](std::uint32_t account, bool disabled) { server.ended(account, disabled); }},
                  options.unavailable, options.last_account);
  service.keep_owed(std::move(owed));
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
  const auto options = accounts::parse(argc, argv);
  if (!options) {
    std::fputs(accounts::kUsage, stderr);
    return 2;
  }
  return log::exit_status(accounts::serve(*options));
}
