// oqto-gateway: the only process with outbound network and the only one with provider keys. Started
// by the guard with descriptors 3 (guard), 4 (auditd) and 6 (the operator's configuration).
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <string_view>

#include "base/log.h"
#include "base/sys.h"
#include "gateway/config_file.h"
#include "gateway/gateway.h"
#include "ipc/loop.h"

namespace oqto::gateway {
namespace {

constexpr int kConfigFd = ipc::kFirstExtraFd;
constexpr std::size_t kDescriptorsForModels = 2048;  // the sessions' networks get the others
constexpr const char* kUsage =
    "usage: oqto-gateway [--config-name NAME] [--ca-file PATH]\n"
    "Passes the sessions' model calls on to the providers. oqto-guard starts it, with its "
    "channels\n"
    "on descriptors 3 and 4 and the configuration (TOML) open on 6.\n"
    "  --config-name NAME  what error texts call the configuration (gateway.toml)\n"
    "  --ca-file PATH      certificate authorities (/etc/ssl/certs/ca-certificates.crt)\n";

struct Options {
  const char* config_name = "gateway.toml";
  const char* ca_file = "/etc/ssl/certs/ca-certificates.crt";
};

asio::awaitable<void> stop_on_signal(egress::Readable& signals, Gateway& gateway) {
  const bool came = co_await signals.wait();
  if (came) gateway.stop();
}

// Large pieces go back to the system at once, and a mistake in our own bounds ends this process and not the host.
Status bound_memory() {
  (void)::mallopt(M_ARENA_MAX, 2);
  (void)::mallopt(M_MMAP_THRESHOLD, 256 * 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  constexpr rlim_t kAddressSpace = rlim_t{2} << 30;
  const rlimit bound{kAddressSpace, kAddressSpace};
  if (::setrlimit(RLIMIT_AS, &bound) != 0) return fail_errno("setrlimit(RLIMIT_AS)");
#endif
  return {};
}

Status run(const Options& options) {
  // --- own uid, nothing read yet ---
  TRY(sys::close_from(kConfigFd + 1));
  TRY(sys::adopt_inherited(ipc::kGuardFd, kConfigFd - ipc::kGuardFd + 1));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  ipc::Channel audit(Fd::adopt(ipc::kAuditFd));
  const Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  (void)::signal(SIGPIPE, SIG_IGN);

  // --- the operator's configuration and the system's certificates ---
  auto read = read_config(Fd::adopt(kConfigFd), options.config_name);
  if (!read) {
    log::error("the configuration is refused", {{"error", read.error()}});
    return fail(Errc::invalid, "the configuration is refused: see the line above");
  }
  const auto config = std::make_shared<const Config>(*std::move(read));
  TRY(bound_memory());
  // Outlive io, whose last frames give back to them what they hold.
  MemoryBudget bodies(MemoryBudget::kBodies), contents(MemoryBudget::kContents);
  asio::io_context io;
  const auto [upstream, has_authorities] = TRY(make_upstream(io, needs_authorities(*config), options.ca_file));
  const auto demo = make_demo();
  egress::prepare_resolver();
  const std::size_t descriptors = egress::descriptors_beside(kDescriptorsForModels);

  // --- sealed: outbound TCP and the resolver's files ---
  const auto sealed = TRY(sandbox::seal(
      {.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "accept", "memfd",
                "outbound"},
       .also = {},
       .read_beneath = egress::resolver_files(),
       .outbound_tcp = true}));

  // --- serving ---
  AuditLink audit_link(io, std::move(audit), secrets_of(*config));
  record_config(audit_link, *config);
  egress::Shared egress(io, config->egress, {descriptors, descriptors / 4});
  Workers workers(io);
  Shared shared{config, options.config_name, has_authorities, audit_link, *upstream, *demo, egress, workers, bodies, contents};
  Gateway gateway(sealed, io, std::move(guard), shared);
  audit_link.when_given_up([&gateway] {
    gateway.stop(fail(Errc::unavailable, "the audit log did not come back: another gateway gets a new channel to it"));
  });
  egress::Readable signals_ready(io, signals);
  asio::co_spawn(io, stop_on_signal(signals_ready, gateway), asio::detached);
  return gateway.run();
}

}  // namespace
}  // namespace oqto::gateway

int main(int argc, char** argv) {
  oqto::log::set_process_name("gateway");
  oqto::gateway::Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--help" && argc == 2) {
      std::fputs(oqto::gateway::kUsage, stdout);
      return 0;
    }
    const bool known = flag == "--config-name" || flag == "--ca-file";
    if (!known || i + 1 == argc) {
      std::fputs(oqto::gateway::kUsage, stderr);
      return 2;
    }
    (flag == "--ca-file" ? options.ca_file : options.config_name) = argv[i + 1];
  }
  return oqto::log::exit_status(oqto::gateway::run(options));
}
