// A compromised relay that gives a second connection the number of a first one, whose record is on its
// way: it must not be handed a channel for which it showed no token.
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "base/sys.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

constexpr int kListenerFd = kFirstExtraFd;

Channel open_connection(Channel& guard, std::uint64_t number) {
  auto ends = sys::seqpacket_pair();
  (void)guard.send(ConnectionOpened{number, "203.0.113.9:1"}, ends->second);
  return Channel(std::move(ends->first));
}

// The first thing that the test sends in the clear: the body of its setup call.
std::string receive_body() {
  for (;;) {
    const Fd tcp = Fd::adopt(::accept4(kListenerFd, nullptr, nullptr, SOCK_CLOEXEC));
    char bytes[1024];
    const ssize_t n = tcp ? ::recv(tcp.get(), bytes, sizeof bytes, 0) : -1;
    if (n > 0) return std::string(bytes, static_cast<std::size_t>(n));
    ::usleep(20'000);
  }
}

Token sign_in(Channel& accounts) {
  auto ends = sys::seqpacket_pair();
  (void)accounts.send(AuthPeer{1, "203.0.113.9:1"}, ends->second);
  Channel peer(std::move(ends->first));
  AuthCall call;
  call.endpoint = AuthEndpoint::setup;
  call.body.value = receive_body();
  (void)peer.send(call);
  const auto answer = peer.wait(20'000);
  const auto reply = answer ? answer->as<AuthReply>() : std::unexpected(answer.error());
  report("signing in", reply && reply->status == 201);
  return reply ? reply->token : Token{};
}

int run() {
  log::set_process_name("hostile-relay");
  Channel guard(Fd::adopt(kGuardFd));
  Channel accounts(Fd::adopt(kPeerFd));
  (void)guard.send(Ready{});
  const Token token = sign_in(accounts);
  bool held = true;
  for (std::uint64_t number = 1; number <= 100; ++number) {
    {
      Channel first = open_connection(guard, number);
      (void)first.send(OpenChannel{token, ChannelKind::mux});
      ::usleep(static_cast<useconds_t>(500 + number * 20));
    }
    ::usleep(200);  // the first is forgotten, its record not yet durable
    Channel second = open_connection(guard, number);
    const auto answer = second.wait(30);
    if (answer && answer->tag == Tag::channel_opened) held = false;
  }
  report("a channel without a token", held);
  ::sleep(30);
  return 0;
}

}  // namespace
}  // namespace oqto::hostile

int main() { return oqto::hostile::run(); }
