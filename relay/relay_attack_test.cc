// Attacks on the running relay from the network, and what one lost connection means for the others.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/encoding.h"
#include "base/sys.h"
#include "ipc/audit.h"
#include "relay/relay_fixture.h"

namespace oqto::relay {
namespace {

std::string health(const RunningRelay& relay) {
  return "GET /health HTTP/1.1\r\nHost: " + relay.authority() + "\r\n\r\n";
}
std::string upgrade(const RunningRelay& relay, const std::string& origin,
                    const std::string& cookie) {
  return "GET /ws/mux HTTP/1.1\r\nHost: " + relay.authority() +
         "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: " + origin +
         "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
         "Sec-WebSocket-Protocol: host.mux.v1\r\n" +
         cookie + "\r\n";
}

struct Pumped {
  Client client;
  Announced peers;
  Fd stream;
};
Pumped open_mux(RunningRelay& relay) {
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send(
      upgrade(relay, relay.origin(), "Cookie: __Host-oqto=" + to_base64url(ipc::Token{}) + "\r\n"));
  EXPECT_TRUE(peers.control.wait(kTestWaitMs));
  auto pair = sys::stream_pair();
  EXPECT_TRUE(peers.control.send(ipc::ChannelOpened{}, pair->second));
  (void)sys::set_nonblocking(pair->first, false);
  std::string head;
  while (!head.ends_with("\r\n\r\n")) head += read_exactly(pair->first, 1);
  return {std::move(client), std::move(peers), std::move(pair->first)};
}
bool echoes(Pumped& mux) {
  mux.client.send("ping");
  return read_exactly(mux.stream, 4) == "ping" && sys::write_all(mux.stream, "pong") &&
         mux.client.read(4) == "pong";
}

// The bytes that come before the end of the stream, however it ends.
std::string rest_of(const Fd& fd) {
  std::string all, piece;
  while (!(piece = read_exactly(fd, 1)).empty()) all += piece;
  return all;
}

TEST(RelayAttack, OlderTlsAndOtherProtocolsAreRefused) {
  RunningRelay relay;
  EXPECT_FALSE(Client(relay, {.max_version = TLS1_2_VERSION}).connected());
  EXPECT_FALSE(Client(relay, {.alpn = "h2"}).connected());
  EXPECT_TRUE(Client(relay, {.alpn = ""}).connected());
  const Fd plain = plain_connection(relay);
  ASSERT_TRUE(sys::write_all(plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(rest_of(plain).find("HTTP/"), std::string::npos);
}

TEST(RelayAttack, ForeignHostsAndOriginsAreRefused) {
  RunningRelay relay;
  {
    Client client(relay);
    EXPECT_EQ(client.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 421);
    EXPECT_TRUE(client.ended());
  }
  const std::string cookie = "Cookie: __Host-oqto=" + to_base64url(ipc::Token{}) + "\r\n";
  for (const std::string& origin : {std::string("https://evil.example"), std::string("null"),
                                    "http://" + relay.authority(), relay.origin() + ".evil"}) {
    EXPECT_EQ(Client(relay).ask(upgrade(relay, origin, cookie)).status, 403) << origin;
  }
  EXPECT_EQ(Client(relay).ask(upgrade(relay, relay.origin(), "")).status, 401);
}

TEST(RelayAttack, SmugglingGetsOneAnswerAndTheEnd) {
  RunningRelay relay;
  Client client(relay);
  const Response answer = client.ask("POST /api/auth/login HTTP/1.1\r\nHost: " + relay.authority() +
                                     "\r\nOrigin: " + relay.origin() +
                                     "\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
                                     "Transfer-Encoding: xchunked\r\n\r\n" +
                                     health(relay));
  EXPECT_EQ(answer.status, 400);
  EXPECT_TRUE(client.ended());
}

TEST(RelayAttack, SilentAndSlowClientsAreCut) {
  RunningRelay relay;
  const Fd silent = plain_connection(relay);  // never costs a process
  const Fd half = plain_connection(relay);
  ASSERT_TRUE(sys::write_all(half, "\x16\x03\x01"));
  Client mute(relay);
  Client slow(relay);
  bool cut = false;
  for (int i = 0; i < 300 && !cut; ++i) {  // a byte of the head every 100 ms: at most 30 s
    (void)::send(silent.get(), "", 0, MSG_NOSIGNAL);
    slow.send(i == 0 ? "GET / HTTP/1.1\r\nHost: " + relay.authority() + "\r\nX: " : "a");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    char byte;
    cut = ::recv(slow.socket(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
  }
  EXPECT_TRUE(cut);
  EXPECT_EQ(rest_of(silent), "");
  EXPECT_EQ(rest_of(half), "");
  EXPECT_TRUE(mute.ended());
  EXPECT_EQ(Client(relay).ask(health(relay)).status, 200);
}

TEST(RelayAttack, AFloodOfHalfOpenConnectionsLeavesRoomAndHurtsNoEstablishedOne) {
  RunningRelay relay({"--rate-per-network", "1000"});
  Pumped mux = open_mux(relay);
  std::vector<Fd> flood, held;
  const auto drain = [&] {  // the peers keep up, and keep what they are given
    for (ipc::Channel* channel : {&relay.guard, &relay.accounts}) {
      while (auto received = channel->receive()) held.push_back(std::move(received->fd));
    }
  };
  for (int i = 0; i < 300; ++i) {
    flood.push_back(plain_connection(relay));
    if (i % 2 == 0) (void)::send(flood.back().get(), "\x16", 1, MSG_NOSIGNAL);
    drain();
  }
  // A busy machine lets the listener run only now: give it its turn before anything is counted.
  for (int waited = 0; held.size() <= 10 && waited < kTestWaitMs; waited += 10) {
    ::poll(nullptr, 0, 10);
    drain();
  }
  EXPECT_GT(held.size(), 10U) << "the flood did not reach the relay";
  EXPECT_LE(relay.children().size(), 80U)
      << "64 unproven ones of a network, and those about to end";
  EXPECT_TRUE(echoes(mux));
  Client good(relay);
  EXPECT_EQ(good.ask(health(relay)).status, 200);
}

TEST(RelayAttack, TooManyNewConnectionsFromOneNetworkAreTurnedAway) {
  RunningRelay relay({"--rate-per-network", "1"});  // four at once
  EXPECT_EQ(Client(relay).ask(health(relay)).status, 200);
  std::vector<Fd> fast;
  for (int i = 0; i < 8; ++i) fast.push_back(plain_connection(relay));
  char byte;
  EXPECT_LE(::recv(fast.back().get(), &byte, 1, 0), 0);  // at once, without a byte
}

TEST(RelayAttack, ACrashedConnectionIsRecordedAndTouchesNoOther) {
  RunningRelay relay;
  Pumped first = open_mux(relay);
  const auto before = relay.children();
  ASSERT_EQ(before.size(), 1U);
  Pumped second = open_mux(relay);
  EXPECT_EQ(::kill(before[0], SIGSEGV), 0);
  EXPECT_TRUE(first.client.ended());
  EXPECT_EQ(read_exactly(first.stream, 1), "");
  EXPECT_TRUE(echoes(second));
  const auto record = relay.audit.wait(kTestWaitMs);
  ASSERT_TRUE(record);
  const auto violation = record->as<ipc::AuditAppend>();
  ASSERT_TRUE(violation);
  EXPECT_EQ(violation->event, ipc::Event::violation);
  EXPECT_EQ(violation->list.at(0),
            (ipc::AuditField{ipc::FieldKey::connection, std::to_string(first.peers.connection)}));
}

TEST(RelayAttack, RepeatedCrashesEndTheListenerButNoEstablishedConnection) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  const pid_t established = relay.children().at(0);
  for (int i = 0; i < 16; ++i) {
    Client victim(relay);
    const Announced peers = relay.next_connection();
    for (const pid_t child : relay.children()) {
      if (child != established) ::kill(child, SIGSEGV);
    }
    EXPECT_TRUE(victim.ended());
  }
  EXPECT_EQ(relay.wait_for_exit(), 1);
  EXPECT_TRUE(echoes(mux));
}

TEST(RelayAttack, TheGuardClosingTheControlChannelCutsTheConnectionAtOnce) {
  RunningRelay relay;
  Pumped pumping = open_mux(relay);
  Pumped other = open_mux(relay);
  Client idle(relay);
  Announced idle_peers = relay.next_connection();
  EXPECT_EQ(idle.ask(health(relay)).status, 200);
  pumping.peers.control = {};
  EXPECT_TRUE(pumping.client.ended());
  EXPECT_EQ(read_exactly(pumping.stream, 1), "");
  idle_peers.control = {};
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(echoes(other));
}

TEST(Relay, EndsWithTheGuardAndLeavesEstablishedConnectionsToTheirOwnChannels) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  relay.guard = {};
  EXPECT_EQ(relay.wait_for_exit(), 0);
  EXPECT_TRUE(echoes(mux));
  mux.peers.control = {};
  EXPECT_TRUE(mux.client.ended());
}

std::string status_line(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  }
  return "";
}
std::size_t open_descriptors(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(Relay, ConnectionProcessesAreSealedAndHoldNothingBesideTheirChannels) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  const pid_t child = relay.children().at(0);
  for (const pid_t pid : {relay.pid, child}) {
    EXPECT_EQ(status_line(pid, "Seccomp"), "2");
    EXPECT_EQ(status_line(pid, "NoNewPrivs"), "1");
    EXPECT_EQ(status_line(pid, "CapEff"), "0000000000000000");
  }
  EXPECT_EQ(status_line(child, "Seccomp_filters"), "2");
  EXPECT_EQ(open_descriptors(child), 3U) << "TCP, the guard's channel and the runner's stream";
}

// The writer's contract: what web/pack.mjs writes, the relay serves under a policy with its hashes.
TEST(Relay, ServesWhatPackMjsWrote) {
  char name[] = "/tmp/oqto-pack-XXXXXX";
  const std::filesystem::path dir = ::mkdtemp(name);
  std::filesystem::create_directories(dir / "dist/assets");
  std::ofstream(dir / "dist/index.html")
      << "<!doctype html><head><meta charset=\"utf-8\"><script type=\"module\" "
         "src=\"/assets/a-1.js\"></script></head>";
  std::ofstream(dir / "dist/assets/a-1.js") << "let x = 1;" << std::string(2000, ' ');
  const std::string command = "node " OQTO_PACK_MJS " " + (dir / "dist").string() + " " +
                              (dir / "ui.pack").string() + " >/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(dir / "ui.pack", std::ios::binary);
  RunningRelay relay({}, std::string(std::istreambuf_iterator<char>(file), {}));
  std::filesystem::remove_all(dir);
  Client client(relay);
  const Response page = client.ask("GET / HTTP/1.1\r\nHost: " + relay.authority() + "\r\n\r\n");
  EXPECT_EQ(page.status, 200);
  const std::size_t integrity = page.body.find("integrity=\"sha384-");
  ASSERT_NE(integrity, std::string::npos);
  const std::string hash = page.body.substr(integrity + 11, 71);
  EXPECT_NE(page.head.find("'" + hash + "'"), std::string::npos) << hash;
  EXPECT_NE(page.body.find("<script type=\"importmap\">"), std::string::npos);
  const Response script = client.ask("GET /assets/a-1.js HTTP/1.1\r\nHost: " + relay.authority() +
                                     "\r\nAccept-Encoding: br\r\n\r\n");
  EXPECT_TRUE(script.has("Content-Encoding: br"));
  EXPECT_LT(script.body.size(), 100U);
}

}  // namespace
}  // namespace oqto::relay
