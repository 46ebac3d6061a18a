// What the relay answers of itself: whether the host is ready, and what there is at an address.
#include <gtest/gtest.h>

#include "base/sys.h"
#include "relay/relay_fixture.h"

namespace oqto::relay {
namespace {

std::string head(const RunningRelay& relay, const std::string& method, const std::string& path) {
  return method + " " + path + " HTTP/1.1\r\nHost: " + relay.authority() + "\r\n" +
         (method == "POST" ? "Content-Length: 0\r\nContent-Type: application/json\r\nOrigin: " +
                                 relay.origin() + "\r\n"
                           : "") +
         "\r\n";
}

// The guard's side of one question.
void answer(Announced& peers, std::uint8_t ready) {
  const auto asked = peers.control.wait(kTestWaitMs);
  ASSERT_TRUE(asked && asked->as<ipc::Probe>());
  ASSERT_TRUE(peers.control.send(ipc::Probed{0, ready, "auditd: a secret of the operator's"}));
}

TEST(Health, IsReadyWhenTheGuardSaysSoAndOnlyThen) {
  RunningRelay relay;
  Client client(relay);
  Announced peers = relay.next_connection();
  client.send(head(relay, "GET", "/api/health"));
  answer(peers, 1);
  const Response ready = client.read_response();
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(ready.body, R"({"ready":true,"status":"ok","version":"0.1.0"})");
  EXPECT_TRUE(ready.has("Cache-Control: no-store"));
  client.send(head(relay, "HEAD", "/api/health"));
  answer(peers, 1);
  EXPECT_EQ(client.read_response(true).status, 200);
  client.send(head(relay, "GET", "/api/health"));
  answer(peers, 0);
  const Response degraded = client.read_response();
  EXPECT_EQ(degraded.status, 503);
  EXPECT_EQ(degraded.body, R"({"ready":false})") << "strangers are told no more";
  EXPECT_TRUE(degraded.has("Retry-After: 2"));
  EXPECT_TRUE(client.ended());
}

TEST(Health, AttackASilentGuardOrAWrongAnswerIsNotReady) {
  RunningRelay relay;
  Client silent(relay);
  Announced silent_peers = relay.next_connection();
  silent.send(head(relay, "GET", "/api/health"));
  Client wrong(relay);
  Announced wrong_peers = relay.next_connection();
  wrong.send(head(relay, "HEAD", "/api/health"));
  ASSERT_TRUE(wrong_peers.control.wait(kTestWaitMs));
  ASSERT_TRUE(wrong_peers.control.send(ipc::ChannelRefused{ipc::Refusal::limit}));
  EXPECT_EQ(wrong.read_response(true).status, 503);
  EXPECT_TRUE(wrong.ended());
  EXPECT_EQ(silent.read_response().status, 503);
  EXPECT_TRUE(silent.ended());
}

TEST(Health, ThatTheRelayIsAliveAsksNobody) {
  RunningRelay relay;
  Client client(relay);
  Announced peers = relay.next_connection();
  const Response alive = client.ask(head(relay, "GET", "/health"));
  EXPECT_EQ(alive.status, 200);
  EXPECT_EQ(alive.body, R"({"status":"ok","version":"0.1.0"})");
  const auto said = peers.control.receive();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, Errc::limit);
}

TEST(Health, TheGuardIsToldFromWhenUntilWhenTheCertificateIsValid) {
  const auto now = static_cast<std::int64_t>(sys::now_ms() / 1000);
  constexpr std::int64_t kDay = 86'400;
  for (const auto& [from, until] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{now - 10 * kDay, now - kDay},
                                                          {now + kDay, now + 2 * kDay},
                                                          {951'782'400, 4'107'542'400},
                                                          {0, 253'402'000'000}}) {
    RunningRelay relay({}, {}, make_certificate("localhost", from - now, until - now));
    EXPECT_NEAR(static_cast<double>(relay.facts.not_before_ms), static_cast<double>(from) * 1000,
                5000);
    EXPECT_NEAR(static_cast<double>(relay.facts.not_after_ms), static_cast<double>(until) * 1000,
                5000);
    EXPECT_EQ(Client(relay).ask(head(relay, "GET", "/health")).status, 200)
        << "it serves all the same";
  }
}

struct Asked {
  const char *method, *path;
  int status;
  const char* allow;
};

TEST(Addresses, AreWhatThereIsAndNothingElse) {
  RunningRelay relay;
  for (const Asked& asked : {
           Asked{"GET", "/", 200, nullptr},
           {"HEAD", "/?from=mail", 200, nullptr},
           {"GET", "/icon.png", 200, nullptr},
           {"GET", "/metrics", 404, nullptr},
           {"HEAD", "/healthz", 404, nullptr},
           {"GET", "/session/oqto-1", 404, nullptr},
           {"GET", "/icon.png/", 404, nullptr},
           {"GET", "//", 404, nullptr},
           {"GET", "/index.html", 404, nullptr},
           {"POST", "/metrics", 404, nullptr},
           {"POST", "/", 405, "GET, HEAD"},
           {"POST", "/icon.png", 405, "GET, HEAD"},
           {"POST", "/health", 405, "GET, HEAD"},
           {"POST", "/api/health", 405, "GET, HEAD"},
           {"POST", "/ws/mux", 405, "GET"},
           {"HEAD", "/ws/mux", 405, "GET"},
           {"GET", "/ws/other", 404, nullptr},
           {"GET", "/api", 404, nullptr},
           {"GET", "/api/none", 404, nullptr},
           {"HEAD", "/api/none", 404, nullptr},
           {"POST", "/api/none", 404, nullptr},
           {"HEAD", "/api/me", 405, "GET"},
           {"POST", "/api/me", 405, "GET"},
           {"GET", "/api/auth/login", 405, "POST"},
           {"HEAD", "/api/auth/invites", 405, "GET, POST"},
           {"DELETE", "/", 405, "GET, HEAD, POST"},
       }) {
    const std::string what = std::string(asked.method) + " " + asked.path;
    Client client(relay);
    client.send(head(relay, asked.method, asked.path));
    const bool is_head = std::string_view(asked.method) == "HEAD";
    const Response answer = client.read_response(is_head);
    EXPECT_EQ(answer.status, asked.status) << what;
    if (asked.allow != nullptr) {
      EXPECT_TRUE(answer.has(std::string("Allow: ") + asked.allow)) << what << answer.head;
    }
    if (asked.status == 200) continue;
    EXPECT_TRUE(
        answer.has("Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox"))
        << what;
    EXPECT_TRUE(client.ended()) << what << ": also no body of an answer to HEAD";
  }
}

TEST(Addresses, NothingIsAPageForPeopleAndJsonForPrograms) {
  RunningRelay relay;
  const Response page = Client(relay).ask(head(relay, "GET", "/no/such/page"));
  EXPECT_TRUE(page.has("Content-Type: text/html; charset=utf-8"));
  EXPECT_TRUE(page.has("Cache-Control: no-store"));
  EXPECT_NE(page.body.find("<h1>Not found</h1>"), std::string::npos);
  EXPECT_EQ(page.body.find("no/such"), std::string::npos) << "nothing of the request is in it";
  for (const char* path : {"/api/no/such", "/ws/no"}) {
    const Response json = Client(relay).ask(head(relay, "GET", path));
    EXPECT_TRUE(json.has("Content-Type: application/json; charset=utf-8"));
    EXPECT_EQ(json.body, R"({"error":"there is nothing at this address","code":"NOT_FOUND"})");
  }
}

TEST(Addresses, WhatIsDownSaysWhenToTryAgain) {
  RunningRelay relay;
  relay.accounts = ipc::Channel();  // accounts is gone
  Client client(relay);
  const Response answer = client.ask(head(relay, "GET", "/api/auth/state"));
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.has("Retry-After: 2"));
}

}  // namespace
}  // namespace oqto::relay
