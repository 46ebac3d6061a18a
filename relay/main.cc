// oqto-relay: ends TLS for the browsers, one sealed process per connection. Started by oqto-guard
// with descriptors 3 guard, 4 audit, 5 accounts, 6 listening socket, 7 certificate chain, 8 private
// key, 9 asset pack.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/sys.h"
#include "relay/certificate.h"
#include "relay/heap.h"
#include "relay/listener.h"

namespace oqto::relay {
namespace {

constexpr int kListenFd = ipc::kFirstExtraFd;
constexpr int kChainFd = 7;
constexpr int kKeyFd = 8;
constexpr int kAssetsFd = 9;
constexpr int kFirstFree = 10;

constexpr const char* kUsage =
    "usage: oqto-relay --origin https://HOST[:PORT] [--origin ...]\n"
    "                  [--max-connections N] [--max-per-network N] [--rate-per-network N]\n"
    "Started by oqto-guard with its descriptors in place; see docs/architecture.md.\n";

struct Options {
  std::vector<Site> sites;
  Limits limits;
};

bool parse_number(std::string_view text, std::uint32_t& number) {
  constexpr std::uint32_t kMax = 100'000;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0 && number <= kMax;
}

Result<Options> parse_options(std::span<char*> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == arguments.size()) return fail(Errc::invalid, "an option lacks its value");
    const std::string_view value = arguments[i + 1];
    bool good = true;
    if (name == "--origin") {
      options.sites.push_back(TRY(Site::parse(value)));
    } else if (name == "--max-connections") {
      good = parse_number(value, options.limits.connections);
    } else if (name == "--max-per-network") {
      good = parse_number(value, options.limits.per_network);
    } else if (name == "--rate-per-network") {
      good = parse_number(value, options.limits.rate_per_network);
    } else {
      return fail(Errc::invalid, "unknown option");
    }
    if (!good) return fail(Errc::invalid, "a limit is a number from 1 to 100000");
  }
  if (options.sites.empty()) return fail(Errc::invalid, "at least one --origin is needed");
  return options;
}

// Each connection that waits or is unproven takes a descriptor; so many must fit.
Status raise_descriptor_limit(const Limits& limits) {
  rlimit both{};
  if (::getrlimit(RLIMIT_NOFILE, &both) != 0) return fail_errno("getrlimit");
  both.rlim_cur = both.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &both) != 0) return fail_errno("setrlimit");
  if (both.rlim_max < limits.unproven + 64) {
    return fail(Errc::invalid, "the descriptor limit (RLIMIT_NOFILE) is too low for the relay");
  }
  return {};
}

Status serve(const Options& options) {
  // --- nothing read yet; not sealed ---
  TRY(sys::adopt_inherited(ipc::kGuardFd, kFirstFree - ipc::kGuardFd));
  TRY(raise_descriptor_limit(options.limits));
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return fail_errno("signal(SIGPIPE)");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");

  // --- the operator's files: certificate, key, assets ---
  auto tls = TlsContext::create(Fd::adopt(kChainFd), Fd::adopt(kKeyFd));
  if (!tls) return std::unexpected(tls.error());
  TRY(tls->warm_up());
  const auto pack_bytes = TRY(map_pack(Fd::adopt(kAssetsFd)));
  const AssetPack assets = TRY(AssetPack::parse(pack_bytes));
  const Service service{*tls, assets, options.sites};
  CertificateInForce certificate(*tls);

  // --- everything that takes opening ---
  ::tzset();  // the files of the time zone: dates of a certificate that is offered later are told without them
  const ConnectionJail jail = TRY(ConnectionJail::prepare(pack_bytes.size()));
  Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT, SIGCHLD}));
  Listener* listener = TRY(Listener::create(
      {ipc::Channel(Fd::adopt(ipc::kGuardFd)), ipc::Channel(Fd::adopt(ipc::kAuditFd)),
       ipc::Channel(Fd::adopt(ipc::kPeerFd)), Fd::adopt(kListenFd), std::move(signals)},
      service, certificate, jail, options.limits));

  // --- sealed: accepts and forks, opens nothing; each child seals itself further ---
  TRY(seal_listener());
  fill_heap_holes();
  return listener->run();
}

}  // namespace
}  // namespace oqto::relay

int main(int argc, char** argv) {
  using namespace oqto;
  log::set_process_name("relay");
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    (void)std::fputs(relay::kUsage, stdout);
    return 0;
  }
  (void)sys::close_from(relay::kFirstFree);
  const auto options =
      relay::parse_options(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!options) {
    log::error("bad arguments", options.error());
    (void)std::fputs(relay::kUsage, stderr);
    return 2;
  }
  return log::exit_status(relay::serve(*options));
}
