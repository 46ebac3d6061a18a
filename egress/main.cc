// oqto-egress: the filtered network of one stand-alone sandbox. Runs beside it, outside of its
// namespaces, as the same user and without any capability. Started with descriptors 3 (the tool), 4
// (where records go), 6 and 7 (DNS over UDP and TCP), and 8 … (sockets for listeners), all but the
// first two made in the sandbox's network namespace.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "base/log.h"
#include "base/sys.h"
#include "egress/host_name.h"
#include "egress/json_records.h"
#include "egress/pool_listeners.h"
#include "egress/readable.h"
#include "egress/session.h"
#include "ipc/loop.h"
#include "ipc/messages.h"
#include "sandbox/seal.h"

namespace oqto::egress {
namespace {

constexpr int kUdpFd = ipc::kFirstExtraFd;
constexpr int kTcpFd = kUdpFd + 1;
constexpr int kPoolFd = kTcpFd + 1;
constexpr std::size_t kMaxPool = 1024;
constexpr std::size_t kOtherDescriptors = 64;
constexpr int kRulesTimeMs = 10'000;
constexpr const char* kUsage =
    "usage: oqto-egress --sockets N [--allow-private ADDRESS/BITS]... [--resolve NAME=ADDRESS]...\n"
    "Lets one sandbox reach the names that its policy allows. oqto-sandbox starts it, with its\n"
    "channel on descriptor 3, where records go on 4, and sockets of the sandbox's network on 6 "
    "(DNS\n"
    "over UDP), 7 (DNS over TCP, listening) and 8 to 7+N (TCP, unbound).\n"
    "  --sockets N                   how many sockets for listeners there are, at most 1024\n"
    "  --allow-private ADDRESS/BITS  dial these addresses though they are private; for tests\n"
    "  --resolve NAME=ADDRESS        a name that is not looked up; for tests\n";

struct Options {
  std::size_t sockets = 0;
  Settings settings;
};

// What the tool and the session say to each other.
class Bridge {
 public:
  Bridge(asio::io_context& io, ipc::Channel tool)
      : io_(io), tool_(std::move(tool)), readable_(io, tool_.fd()) {}

  Result<ipc::GateRules> rules() {
    auto received = TRY(tool_.wait(kRulesTimeMs));
    return received.as<ipc::GateRules>();
  }
  Status ask(const ipc::ApprovalAsk& question) { return tool_.send(question); }

  asio::awaitable<void> serve(std::shared_ptr<Session> session) {
    for (;;) {
      const bool ready = co_await readable_.wait();
      if (!ready || !receive_all(*session)) break;
    }
    io_.stop();
  }
  // Only now may a program start: its first lookup finds what the policy promises.
  asio::awaitable<void> announce(std::shared_ptr<Session> session) {
    const bool all = co_await session->reserved();
    if (all && tool_.send(ipc::Ready{})) co_return;
    failed_ = true;
    io_.stop();
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  // False: the tool is gone, or does not speak our language.
  bool receive_all(Session& session) {
    for (;;) {
      auto received = tool_.receive();
      if (!received) return received.error().code == Errc::limit;
      const auto answer = received->as<ipc::ApprovalAnswer>();
      if (!answer) return false;
      session.answered(*answer);
    }
  }

  asio::io_context& io_;
  ipc::Channel tool_;
  Readable readable_;
  bool failed_ = false;
};

asio::awaitable<void> stop_on_signal(Readable& signals, asio::io_context& io) {
  const bool came = co_await signals.wait();
  if (came) io.stop();
}

Result<std::vector<Fd>> pool(std::size_t count) {
  std::vector<Fd> sockets;
  for (std::size_t i = 0; i < count; ++i) {
    Fd socket = Fd::adopt(kPoolFd + static_cast<int>(i));
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
      return fail(Errc::invalid, "a descriptor for listeners is no TCP socket");
    }
    sockets.push_back(std::move(socket));
  }
  return sockets;
}

Status run(Options options) {
  // --- own uid, nothing read yet ---
  TRY(sys::close_from(kPoolFd + static_cast<int>(options.sockets)));
  TRY(sys::adopt_inherited(ipc::kGuardFd, 2));
  TRY(sys::adopt_inherited(kUdpFd, 2 + static_cast<int>(options.sockets)));
  ipc::Channel tool(Fd::adopt(ipc::kGuardFd));
  Fd sink = Fd::adopt(ipc::kAuditFd);
  Fd udp = Fd::adopt(kUdpFd);
  Fd tcp = Fd::adopt(kTcpFd);
  std::vector<Fd> sockets = TRY(pool(options.sockets));
  const Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  (void)::signal(SIGPIPE, SIG_IGN);
  prepare_resolver();
  const std::size_t descriptors = descriptors_beside(kOtherDescriptors + options.sockets);

  // --- sealed: outbound TCP and the resolver's files ---
  (void)TRY(sandbox::seal(
      {.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "accept", "outbound"},
       .also = {},
       .read_beneath = resolver_files(),
       .outbound_tcp = true}));

  // --- the rules ---
  asio::io_context io(1);
  Bridge bridge(io, std::move(tool));
  const ipc::GateRules wanted = TRY(bridge.rules());
  SessionSetup setup;
  setup.id = wanted.session;
  setup.rules = TRY(Rules::parse(wanted.domains.values));
  setup.ask_unknown = wanted.ask_unknown != 0;
  setup.ask_timeout_s = wanted.ask_timeout_s;
  setup.listeners = std::make_shared<PoolListeners>(std::move(sockets));
  setup.records = std::make_shared<JsonRecords>(std::move(sink));
  setup.ask = [&bridge](const ipc::ApprovalAsk& question) { return bridge.ask(question); };

  // --- serving ---
  Shared shared(io, std::move(options.settings), {descriptors, descriptors});
  const auto session = std::make_shared<Session>(shared, std::move(setup));
  TRY(session->serve_udp(std::move(udp)));
  TRY(session->serve_tcp(std::move(tcp)));
  session->start();
  Readable signals_ready(io, signals);
  asio::co_spawn(io, stop_on_signal(signals_ready, io), asio::detached);
  asio::co_spawn(io, bridge.serve(session), asio::detached);
  asio::co_spawn(io, bridge.announce(session), asio::detached);
  io.run();
  session->close();
  io.restart();
  io.poll();  // lets the coroutines see it and record how they ended
  if (bridge.failed()) return fail(Errc::io, "a name of the policy cannot be given its ports");
  return {};
}

// False: usage.
bool read_option(std::string_view flag, std::string_view value, Options& options) {
  if (flag == "--sockets") {
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, options.sockets);
    return error == std::errc() && at == end && options.sockets <= kMaxPool;
  }
  if (flag == "--allow-private") {
    const auto prefix = parse_prefix(value);
    if (prefix) options.settings.allow_private.push_back(*prefix);
    return prefix && options.settings.allow_private.size() <= kMaxAllowPrivate;
  }
  const std::size_t equals = value.find('=');
  if (flag != "--resolve" || equals == std::string_view::npos) return false;
  const auto name = host_name(value.substr(0, equals));
  const auto address = parse_address(value.substr(equals + 1));
  if (!name || !address) return false;
  options.settings.resolve[*name].push_back(*address);
  return options.settings.resolve.size() <= kMaxFixedNames;
}

}  // namespace
}  // namespace oqto::egress

int main(int argc, char** argv) {
  oqto::log::set_process_name("egress");
  oqto::egress::Options options;
  if (argc == 2 && std::string_view(argv[1]) == "--help") {
    std::fputs(oqto::egress::kUsage, stdout);
    return 0;
  }
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc || !oqto::egress::read_option(argv[i], argv[i + 1], options)) {
      std::fputs(oqto::egress::kUsage, stderr);
      return 2;
    }
  }
  return oqto::log::exit_status(oqto::egress::run(std::move(options)));
}
