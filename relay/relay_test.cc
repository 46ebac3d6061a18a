// The real oqto-relay, seen from the network and from its peers.
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/encoding.h"
#include "base/sys.h"
#include "ipc/audit.h"
#include "relay/relay_fixture.h"
#include "relay/test_pack.h"

namespace oqto::relay {
namespace {

ipc::Token test_token() {
  ipc::Token token;
  for (std::size_t i = 0; i < token.size(); ++i) token[i] = static_cast<std::uint8_t>(i);
  return token;
}

std::string get(const RunningRelay& relay, std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + relay.authority() + "\r\n" +
         std::string(fields) + "\r\n";
}
std::string post(const RunningRelay& relay, std::string_view path, const std::string& body) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: " + relay.authority() +
         "\r\nOrigin: " + relay.origin() +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string upgrade(const RunningRelay& relay, std::string_view extra = "") {
  return get(relay, "/ws/mux",
             "User-Agent: secret-agent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: " +
                 relay.origin() +
                 "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                 "Sec-WebSocket-Protocol: other, host.mux.v1\r\nCookie: a=b; __Host-oqto=" +
                 to_base64url(test_token()) + "\r\n" + std::string(extra));
}

std::string canonical(const RunningRelay& relay) {
  return "GET /ws/mux HTTP/1.1\r\nHost: " + relay.authority() +
         "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: host.mux.v1\r\nOrigin: " +
         relay.origin() + "\r\n\r\n";
}

// A connection that the guard let through: the test is the runner at `stream`.
struct Pumped {
  Client client;
  Announced peers;
  Fd stream;
};
Pumped open_mux(RunningRelay& relay, std::string_view after_head = "") {
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send(upgrade(relay) + std::string(after_head));
  const auto asked = peers.control.wait(kTestWaitMs);
  EXPECT_TRUE(asked);
  if (asked) {
    const auto open = asked->as<ipc::OpenChannel>();
    EXPECT_TRUE(open && open->token == test_token());
  }
  auto pair = sys::stream_pair();
  EXPECT_TRUE(peers.control.send(ipc::ChannelOpened{}, pair->second));
  EXPECT_EQ(read_exactly(pair->first, canonical(relay).size()), canonical(relay));
  (void)sys::set_nonblocking(pair->first, false);
  return {std::move(client), std::move(peers), std::move(pair->first)};
}

ipc::AuthCall answer_auth(Announced& peers, const ipc::AuthReply& reply) {
  const auto received = peers.accounts.wait(kTestWaitMs);
  EXPECT_TRUE(received);
  ipc::AuthCall call;
  if (received) call = received->as<ipc::AuthCall>().value_or(call);
  EXPECT_TRUE(peers.accounts.send(reply));
  return call;
}

TEST(Relay, ServesTheDocumentWithEverySecurityHeader) {
  RunningRelay relay;
  Client client(relay);
  const Announced peers = relay.next_connection();
  EXPECT_TRUE(peers.remote.starts_with("127.0.0.1:"));
  for (const char* path : {"/", "/?x=y"}) {
    const Response page = client.ask(get(relay, path));
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.body, "<!doctype html>");
    for (const char* line :
         {"Content-Security-Policy: default-src 'none'; script-src 'sha384-x'; "
          "require-trusted-types-for 'script'",
          "Integrity-Policy: blocked-destinations=(script)",
          "Strict-Transport-Security: max-age=63072000; includeSubDomains; preload",
          "Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Embedder-Policy: require-corp",
          "Cross-Origin-Resource-Policy: same-origin", "Origin-Agent-Cluster: ?1",
          "Referrer-Policy: no-referrer", "X-Content-Type-Options: nosniff",
          "X-Frame-Options: DENY", "Cache-Control: no-store", "Connection: keep-alive"}) {
      EXPECT_TRUE(page.has(line)) << path << ": " << line;
    }
    EXPECT_NE(page.head.find("\r\nPermissions-Policy: camera=()"), std::string::npos);
  }
}

TEST(Relay, ServesAssetsInertImmutableAndCompressed) {
  RunningRelay relay;
  Client client(relay);
  const Response script =
      client.ask(get(relay, "/assets/app-1.js", "Accept-Encoding: gzip, br\r\n"));
  EXPECT_EQ(script.body, "brotli");
  EXPECT_TRUE(script.has("Content-Encoding: br"));
  EXPECT_TRUE(script.has("Content-Type: text/javascript; charset=utf-8"));
  EXPECT_TRUE(script.has("Cache-Control: public, max-age=31536000, immutable"));
  EXPECT_TRUE(
      script.has("Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox"));
  EXPECT_EQ(client.ask(get(relay, "/assets/app-1.js")).body, "let plain = 1");
  client.send("HEAD / HTTP/1.1\r\nHost: " + relay.authority() + "\r\n\r\n");
  EXPECT_TRUE(client.read_response(true).has("Content-Length: 15"));
}

TEST(Relay, ClosesAfterAnError) {
  RunningRelay relay;
  for (const char* path : {"/none.js", "/assets/none", "/api/none"}) {
    Client client(relay);
    const Response missing = client.ask(get(relay, path));
    EXPECT_EQ(missing.status, 404);
    EXPECT_TRUE(missing.has("Connection: close"));
    EXPECT_TRUE(client.ended());
  }
}

TEST(Relay, PassesTheLoginBodyUnreadAndSetsTheCookie) {
  RunningRelay relay;
  Client client(relay);
  Announced peers = relay.next_connection();
  const std::string body = "not even JSON \xff";
  client.send(post(relay, "/api/auth/login", body));
  ipc::AuthReply reply;
  reply.status = 200;
  reply.cookie = ipc::CookieAction::set;
  reply.token = test_token();
  reply.body.value = "{\"user\":1}";
  const ipc::AuthCall call = answer_auth(peers, reply);
  EXPECT_EQ(call.endpoint, ipc::AuthEndpoint::login);
  EXPECT_EQ(call.body.value, body);
  EXPECT_EQ(call.has_token, 0);
  const Response answer = client.read_response();
  EXPECT_EQ(answer.body, "{\"user\":1}");
  EXPECT_TRUE(answer.has("Set-Cookie: __Host-oqto=" + to_base64url(test_token()) +
                         "; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=604800"));
  EXPECT_TRUE(answer.has("Cache-Control: no-store"));

  client.send(get(relay, "/api/me", "Cookie: __Host-oqto=" + to_base64url(test_token()) + "\r\n"));
  reply = {};
  reply.status = 429;
  reply.retry_after_s = 7;
  reply.body.value = "{}";
  const ipc::AuthCall me = answer_auth(peers, reply);
  EXPECT_EQ(me.endpoint, ipc::AuthEndpoint::me);
  EXPECT_EQ(me.has_token, 1);
  EXPECT_EQ(me.token, test_token());
  EXPECT_TRUE(client.read_response().has("Retry-After: 7"));
}

TEST(Relay, PassesTheDeviceCookieAndWhatTheBrowserCallsItselfAndSetsTheOneItIsTold) {
  RunningRelay relay;
  Client client(relay);
  Announced peers = relay.next_connection();
  ipc::Token device = test_token();
  device[0] ^= 1;
  client.send(get(relay, "/api/me",
                  "User-Agent: " + std::string(300, 'u') + "\r\nCookie: x=y; __Host-oqto-device=" + to_base64url(device) +
                      "; __Host-oqto=" + to_base64url(test_token()) + "\r\n"));
  ipc::AuthReply reply;
  reply.status = 200;
  reply.device_cookie = ipc::CookieAction::set;
  reply.device = device;
  reply.body.value = "{}";
  const ipc::AuthCall call = answer_auth(peers, reply);
  EXPECT_EQ(call.token, test_token());
  EXPECT_EQ(call.has_device, 1);
  EXPECT_EQ(call.device, device);
  EXPECT_EQ(call.agent.view(), std::string(160, 'u'));
  EXPECT_TRUE(client.read_response().has("Set-Cookie: __Host-oqto-device=" + to_base64url(device) +
                                         "; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=5184000"));
}

TEST(Relay, ClearsCookieAndSiteAtLogoutButTheDeviceStaysKnown) {
  RunningRelay relay;
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send(post(relay, "/api/auth/logout", "{}"));
  ipc::AuthReply reply;
  reply.status = 204;
  reply.cookie = ipc::CookieAction::clear;
  answer_auth(peers, reply);
  const Response answer = client.read_response();
  EXPECT_EQ(answer.status, 204);
  EXPECT_TRUE(
      answer.has("Set-Cookie: __Host-oqto=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"));
  EXPECT_TRUE(answer.has("Clear-Site-Data: \"cache\", \"storage\""));
  EXPECT_EQ(answer.head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.ask(get(relay, "/health")).status, 200) << "the connection goes on";
}

TEST(Relay, AnswersUnavailableWithoutAccountsAndRecoversWhenRewired) {
  RunningRelay relay;
  relay.accounts = {};
  {
    Client client(relay);
    const Announced peers = relay.next_connection();
    EXPECT_EQ(client.ask(post(relay, "/api/auth/login", "{}")).status, 503);
  }
  auto pair = sys::seqpacket_pair();
  relay.accounts = ipc::Channel(std::move(pair->first));
  ASSERT_TRUE(relay.guard.send(ipc::Wire{ipc::WireRole::peer}, pair->second));
  ASSERT_TRUE(relay.guard.send(ipc::Wire{ipc::WireRole::audit}, sys::seqpacket_pair()->second));
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send(post(relay, "/api/auth/login", "{}"));
  ipc::AuthReply reply;
  reply.status = 401;
  answer_auth(peers, reply);
  EXPECT_EQ(client.read_response().status, 401);
}

TEST(Relay, HandsOverWithoutCookieAndWithTheBytesThatFollowed) {
  RunningRelay relay;
  Pumped mux = open_mux(relay, "first frame");
  EXPECT_EQ(read_exactly(mux.stream, 11), "first frame");
  ASSERT_TRUE(sys::write_all(mux.stream, "HTTP/1.1 101 Switching Protocols\r\n\r\n"));
  EXPECT_EQ(mux.client.read(36), "HTTP/1.1 101 Switching Protocols\r\n\r\n");
  mux.client.send("ping");
  EXPECT_EQ(read_exactly(mux.stream, 4), "ping");
}

TEST(Relay, PumpsLargeDataBothWaysAtOnce) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  std::string up(8 << 20, '\0'), down(8 << 20, '\0');
  for (std::size_t i = 0; i < up.size(); ++i) {
    up[i] = static_cast<char>(i * 7 >> 3);
    down[i] = static_cast<char>(i * 13 >> 5);
  }
  std::string arrived_up;
  std::thread sink([&] { arrived_up = read_exactly(mux.stream, up.size()); });
  std::thread source([&] { (void)sys::write_all(mux.stream, down); });
  // One TLS object takes one thread: the client alternates in pieces that fit no buffer exactly.
  std::string arrived_down;
  for (std::size_t at = 0; at < up.size(); at += 100'000) {
    mux.client.send(std::string_view(up).substr(at, 100'000));
    arrived_down += mux.client.read(std::min<std::size_t>(100'000, down.size() - at));
  }
  sink.join();
  source.join();
  EXPECT_TRUE(arrived_up == up);
  EXPECT_TRUE(arrived_down == down);
}

TEST(Relay, StopsReadingFromARunnerWhoseClientDoesNotRead) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  (void)sys::set_nonblocking(mux.stream, true);
  const std::string piece(64 * 1024, 'x');
  std::size_t accepted = 0;
  // Socket buffers and one pump buffer, not more: some megabytes on loopback.
  while (accepted < (256U << 20)) {
    const ssize_t n = ::write(mux.stream.get(), piece.data(), piece.size());
    if (n > 0) {
      accepted += static_cast<std::size_t>(n);
      continue;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (::write(mux.stream.get(), "x", 1) < 0) break;
    ++accepted;
  }
  EXPECT_LT(accepted, 64U << 20);
  EXPECT_EQ(mux.client.read(accepted).size(), accepted) << "nothing is lost";
}

TEST(Relay, PassesTheEndOfEachDirectionOn) {
  RunningRelay relay;
  {
    Pumped mux = open_mux(relay);
    mux.client.send("last words");
    mux.client.close_notify();
    EXPECT_EQ(read_exactly(mux.stream, 100), "last words");
    ASSERT_TRUE(sys::write_all(mux.stream, "and mine"));
    EXPECT_EQ(mux.client.read(8), "and mine");
  }
  Pumped mux = open_mux(relay);
  ASSERT_TRUE(sys::write_all(mux.stream, "goodbye"));
  mux.stream.reset();
  EXPECT_EQ(mux.client.read(100), "goodbye");
}

TEST(Relay, KeepsPumpingAfterAnIdleTime) {
  RunningRelay relay;
  Pumped mux = open_mux(relay);
  for (int round = 0; round < 2; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2300));  // beyond the idle trim
    mux.client.send("up");
    EXPECT_EQ(read_exactly(mux.stream, 2), "up");
    ASSERT_TRUE(sys::write_all(mux.stream, "down"));
    EXPECT_EQ(mux.client.read(4), "down");
  }
}

TEST(Relay, PassesTheGuardsRefusalOn) {
  RunningRelay relay;
  const std::pair<ipc::Refusal, int> kCases[] = {{ipc::Refusal::unauthenticated, 401},
                                                 {ipc::Refusal::forbidden, 403},
                                                 {ipc::Refusal::limit, 503},
                                                 {ipc::Refusal::unavailable, 503}};
  for (const auto& [refusal, status] : kCases) {
    Client client(relay);
    Announced peers = relay.next_connection();
    client.send(upgrade(relay));
    ASSERT_TRUE(peers.control.wait(kTestWaitMs));
    ASSERT_TRUE(peers.control.send(ipc::ChannelRefused{refusal}));
    EXPECT_EQ(client.read_response().status, status);
    EXPECT_TRUE(client.ended());
  }
}

}  // namespace
}  // namespace oqto::relay
