// A compromised gateway: sockets and questions that are not its to have. Most of it ends the process,
// so each life tries one thing; which one, the test says on the port that the configuration names
// (`# attack=PORT`). The gateway is the one part that has the host's network.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "base/sys.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

constexpr std::uint32_t kPool = 0xC6120100;  // 198.18.1.0

std::optional<char> next_attack() {
  const auto config = sys::read_all(Fd::adopt(kFirstExtraFd), 64 * 1024);
  const std::string mark = "attack=";
  const std::size_t at = config ? config->find(mark) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = ::htons(static_cast<std::uint16_t>(std::atoi(config->c_str() + at + mark.size())));
  to.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  const Fd from = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  char name = 0;
  if (::connect(from.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 ||
      ::read(from.get(), &name, 1) != 1) {
    return std::nullopt;
  }
  return name;
}

// What the guard says to a listener: errno, 0 if it gives one.
std::optional<std::uint32_t> listen(Channel& guard, const Uuid& session, std::uint32_t address,
                                    std::uint16_t port) {
  (void)guard.send(GateListen{session, address, port});
  while (true) {
    const auto received = guard.wait(5000);
    if (!received) return std::nullopt;
    if (received->as<GateListener>()) return 0;
    if (const auto failed = received->as<GateListenFailed>()) return failed->error;
  }
}

void survivable(Channel& guard, const Uuid& session) {
  report("a listener for a session that is not there",
         listen(guard, Uuid::random(), kPool + 9, 80) == std::uint32_t{ESRCH});
  report("one that the policy allows (the control)",
         listen(guard, session, kPool + 9, 80) == 0U);
  report("the same once more",
         listen(guard, session, kPool + 9, 80) == std::uint32_t{EADDRINUSE});
  std::uint32_t given = 0;
  std::optional<std::uint32_t> answer = 0;
  for (std::uint32_t i = 0; i < 5000 && answer == 0U; ++i) {
    answer = listen(guard, session, kPool + 20 + i, 80);
    given += answer == 0U ? 1U : 0U;
  }
  report("listeners without end", answer == std::uint32_t{EMFILE} && given < 2000);
}

void ask(Channel& guard, const Uuid& session, ApprovalKind kind, std::uint32_t timeout_s) {
  ApprovalAsk question;
  question.session = session;
  question.kind = kind;
  question.timeout_s = timeout_s;
  (void)guard.send(question);
}

// None of these may be survived: `filtered` may reach allowed.test:80 and asks nobody, `isolated`
// has no network.
void attack(char name, Channel& guard, const Uuid& session) {
  switch (name) {
    case 'l': (void)guard.send(GateListen{session, INADDR_LOOPBACK, 80}); break;
    case 'p': (void)guard.send(GateListen{session, kPool + 9, 22}); break;
    case 'm': (void)guard.send(GateListen{session, 0xC6120002, 80}); break;  // models.oqto
    case 'i': (void)guard.send(GateListen{session, kPool + 9, 80}); break;   // of an isolated one
    case 'f': ask(guard, session, ApprovalKind::file_read, 10); break;
    case 'q': ask(guard, session, ApprovalKind::host, 10); break;
    case 't': ask(guard, session, ApprovalKind::host, 1'000'000); break;
    default: survivable(guard, session); return;
  }
  const auto end = sys::monotonic_ms() + 10'000;
  while (sys::monotonic_ms() < end && guard.wait(1000)) {}
  ::sleep(5);  // the guard kills us before that
  report((std::string("to live after ") + name).c_str(), false);
}

int run() {
  log::set_process_name("hostile-gateway");
  Channel guard(Fd::adopt(kGuardFd));
  const std::optional<char> name = next_attack();
  (void)guard.send(Ready{});
  std::optional<Uuid> session;
  bool filtered = false;
  while (true) {
    const auto received = guard.wait(-1);
    if (!received) return 0;
    if (const auto open = received->as<OpenGate>()) {
      session = open->session;
      filtered = false;
    }
    if (received->as<GateRules>()) filtered = true;
    const auto socket = received->as<GateSocket>();
    if (!socket || socket->kind != GateSocketKind::dns || !session || !name) continue;
    if (filtered != (*name == 'i' || *name == 'q')) attack(*name, guard, *session);
  }
}

}  // namespace
}  // namespace oqto::hostile

int main() { return oqto::hostile::run(); }
