// hstry keeps one tenant's chat history. Started by the guard with descriptors 3 (guard), 4
// (auditd) and 5 (the connected socket to the tenant's runner).
#include <signal.h>
#include <sys/stat.h>

#include <cstdio>
#include <string_view>

#include "base/log.h"
#include "base/sys.h"
#include "hstry/server.h"
#include "hstry/store.h"
#include "ipc/channel.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::hstry {
namespace {

constexpr const char* kUsage =
    "usage: hstry --state-dir PATH\n"
    "The history service of one tenant. Started by oqto-guard, its channels on descriptors 3 to "
    "5.\n";

// What the guard says while the server works in its own threads.
class GuardLink final : public ipc::Watcher {
 public:
  GuardLink(ipc::Channel guard, Server& server, Store& store)
      : guard_(std::move(guard)), server_(server), store_(store) {}

  [[nodiscard]] const Fd& fd() const { return guard_.fd(); }
  [[nodiscard]] bool ended() const { return ended_; }
  Status announce() { return guard_.send(ipc::Ready{}); }

  void on_ready(std::uint32_t /*events*/) override {
    for (;;) {
      auto received = guard_.receive();
      if (!received && received.error().code == Errc::limit) return;
      if (!received || !handle(*received)) {
        ended_ = true;
        return;
      }
    }
  }

 private:
  bool handle(ipc::Received& received) {
    if (const auto probe = received.as<ipc::Probe>()) return answer(*probe);
    const auto wire = received.as<ipc::Wire>();
    if (!wire) {
      log::error("the guard sent what this process does not know", wire.error());
      return false;
    }
    // The audit channel is not spoken on: every mutation is a command that the runner records.
    if (wire->role != ipc::WireRole::peer) return true;
    const Status served = server_.serve(std::move(received.fd));
    if (!served) log::error("a connection cannot be served", served.error());
    return true;
  }

  bool answer(const ipc::Probe& probe) {
    const Status done = store_.probe();
    return guard_.send(ipc::Probed{probe.request, static_cast<std::uint8_t>(done.has_value()), done ? "" : done.error().what})
        .has_value();
  }

  ipc::Channel guard_;
  Server& server_;
  Store& store_;
  bool ended_ = false;
};

class StopSignal final : public ipc::Watcher {
 public:
  void on_ready(std::uint32_t /*events*/) override { came = true; }
  bool came = false;
};

Status run(const std::string& state_dir) {
  // --- the tenant's uid, nothing read yet ---
  TRY(sys::close_from(ipc::kPeerFd + 1));
  TRY(sys::adopt_inherited(ipc::kGuardFd, 3));
  ipc::Channel guard(Fd::adopt(ipc::kGuardFd));
  const Fd audit = Fd::adopt(ipc::kAuditFd);
  Fd runner = Fd::adopt(ipc::kPeerFd);
  ::umask(0077);
  const Fd signals = TRY(ipc::signal_fd({SIGTERM, SIGINT}));
  ipc::Loop loop = TRY(ipc::Loop::create());

  // --- sealed: this one directory, no program, no network ---
  const auto sealed = TRY(sandbox::seal(
      {.sets = {"io", "memory", "clock", "exit", "threads", "files-read", "files-write",
                "unix-sockets"},
       .also = {"uname"},  // gRPC looks at the kernel's version
       .write_beneath = {state_dir}}));
  const auto store = TRY(Store::open(state_dir));
  const auto server = TRY(Server::start(sealed, *store));
  TRY(server->serve(std::move(runner)));

  // --- serving: the runner's calls in gRPC's threads, the guard's messages here ---
  GuardLink link(std::move(guard), *server, *store);
  StopSignal stop;
  TRY(loop.watch(link.fd(), link));
  TRY(loop.watch(signals, stop));
  TRY(link.announce());
  while (!link.ended() && !stop.came) TRY(loop.run_once(-1));

  // --- orderly end: calls in progress are answered ---
  loop.unwatch(signals, stop);
  loop.unwatch(link.fd(), link);
  server->stop();
  return {};
}

}  // namespace
}  // namespace oqto::hstry

int main(int argc, char** argv) {
  oqto::log::set_process_name("hstry");
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (argc == 2 && first == "--help") {
    std::fputs(oqto::hstry::kUsage, stdout);
    return 0;
  }
  if (argc != 3 || first != "--state-dir" || argv[2][0] != '/') {
    std::fputs(oqto::hstry::kUsage, stderr);
    return 2;
  }
  return oqto::log::exit_status(oqto::hstry::run(argv[2]));
}
