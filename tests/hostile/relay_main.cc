// A compromised relay: holds exactly the descriptors that the real one holds, and sends anything.
// What it may not get: a channel into any tenant, or anybody else's answer.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "base/sys.h"
#include "ipc/audit.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

Channel open_connection(Channel& guard, std::uint64_t number) {
  auto ends = sys::seqpacket_pair();
  (void)guard.send(ConnectionOpened{number, "203.0.113.9:1"}, ends->second);
  return Channel(std::move(ends->first));
}

// Guessing tokens: each guess is refused as unauthenticated, with no descriptor.
void guess_tokens(Channel& guard) {
  Channel connection = open_connection(guard, 1);
  bool held = true;
  for (int i = 0; i < 200; ++i) {
    OpenChannel wanted;
    if (i > 0) sys::fill_random(wanted.token);
    if (!connection.send(wanted)) break;
    const auto answer = connection.wait(3000);
    if (!answer) break;
    const auto refused = answer->as<ChannelRefused>();
    held = held && refused && refused->refusal != Refusal::conflict && !answer->fd;
  }
  report("guessing tokens", held);
}

// Two questions at once on one connection break its protocol: the guard closes that connection only.
void ask_out_of_turn(Channel& guard) {
  Channel connection = open_connection(guard, 2);
  for (int i = 0; i < 3; ++i) (void)connection.send(OpenChannel{});
  bool closed = false;
  for (int i = 0; i < 4 && !closed; ++i) {
    const auto answer = connection.wait(2000);
    closed = !answer && answer.error().code == Errc::unavailable;
    if (answer && answer->tag == Tag::channel_opened) break;
  }
  report("asking out of turn", closed);
}

void reach_others() {
  bool held = ::open("/etc/shadow", O_RDONLY) < 0 && ::setuid(0) != 0;
  held = held && ::kill(::getppid(), 0) != 0;
  held = held && ::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr) != 0;
  report("reaching files and processes of others", held);
  const Fd out = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr address{};
  address.sa_family = AF_INET;
  report("calling out", !out || ::connect(out.get(), &address, sizeof address) != 0);
}

// The last attack of each life must get us killed; the guard starts us again for the next one.
void die_trying(Channel& guard, int life) {
  const auto junk = [&](std::span<const std::byte> bytes) {
    (void)::send(guard.fd().get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  };
  switch (life % 5) {
    case 0:  // naming an account: only accounts may
      (void)guard.send(TokenOwner{1, 1, 1, Role::admin, "root"});
      break;
    case 1: {  // no message at all
      const std::byte bytes[] = {std::byte{0xff}, std::byte{0xff}, std::byte{0}};
      junk(bytes);
      break;
    }
    case 2: {  // cut short
      const auto bytes = encode(OpenChannel{});
      junk(std::span(bytes).first(10));
      break;
    }
    case 3:  // a session in somebody's name
      (void)guard.send(StartSession{});
      break;
    default: {  // a descriptor where none belongs
      const auto surplus = sys::sealed_memfd("x", "x");
      (void)guard.send(GateFile{}, *surplus);
    }
  }
  ::sleep(20);
  report("surviving a broken protocol", false);
}

int run() {
  log::set_process_name("hostile-relay");
  Channel guard(Fd::adopt(kGuardFd));
  AuditClient audit{Channel(Fd::adopt(kAuditFd))};
  (void)guard.send(Ready{});
  ::sleep(2);  // long enough to be seen as ready
  const int life = static_cast<int>(sys::now_ms() % 5);
  guess_tokens(guard);
  ask_out_of_turn(guard);
  reach_others();
  // A record in another's name: the log says who really spoke.
  AuditAppend forged;
  forged.event = Event::command;
  forged.phase = Phase::event;
  forged.add(FieldKey::username, "ada").add(FieldKey::process, "guard")
      .add(FieldKey::reason, "forged\n{\"actor\":{\"process\":\"guard\"}}");
  (void)audit.append(forged);
  die_trying(guard, life);
  return 0;
}

}  // namespace
}  // namespace oqto::hostile

int main() { return oqto::hostile::run(); }
