// The provider's side of a call: connections that are kept, and providers that ask for a pause.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "gateway/fake_provider.h"
#include "gateway/gateway_rig.h"

namespace oqto::gateway::test {
namespace {

const std::string kTarget = "/o/v1/chat/completions";
const std::string kAsk = R"({"model":"gpt","messages":[],"stream":true})";
const std::string kUsage = R"({"usage":{"prompt_tokens":1,"completion_tokens":1}})";

std::string config_for(const std::string& base_url) {
  return "[[provider]]\nname=\"o\"\nkind=\"openai\"\nbase_url=\"" + base_url +
         "\"\nkey=\"k\"\n[[provider.model]]\nid=\"gpt\"\n";
}

bool answer_whole(const AskedOf&, const Fd& to) {
  say(to, whole_answer(200, kUsage));
  return true;
}

TEST(GatewayPool, ManyCallsNeedOneConnection) {
  FakeProvider provider(answer_whole);
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  Pi other(rig, 8);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
    EXPECT_EQ(other.post(kTarget, kAsk).status, 200);
  }
  EXPECT_EQ(provider.asked().size(), 8U);
  EXPECT_EQ(provider.connections(), 1);
}

TEST(GatewayPool, AStreamThatEndedWellLeavesItsConnection) {
  FakeProvider provider([](const AskedOf&, const Fd& to) {
    say(to, stream_answer({"data: " + kUsage + "\n\n", "data: [DONE]\n\n"}));
    return true;
  });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pi.post(kTarget, kAsk).complete);
  EXPECT_EQ(provider.connections(), 1);
}

TEST(GatewayPool, HttpsConnectionsAreKeptTooAndWereVerified) {
  FakeProvider provider(answer_whole);
  const TlsFront front(provider.port());
  Rig rig(config_for(front.url()), front.ca_file());
  Pi pi(rig);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  EXPECT_EQ(provider.connections(), 1);
  Rig wary(config_for(front.url()));
  Pi stranger(wary);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(stranger.post(kTarget, kAsk).status, 502);
  EXPECT_EQ(provider.asked().size(), 3U);
}

TEST(GatewayPool, AConnectionThatTheProviderClosedIsReplacedUnseen) {
  FakeProvider provider(answer_whole);
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  provider.hang_up();
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  EXPECT_EQ(provider.connections(), 2);
}

// The request itself meets the closing: seen only when no answer comes.
TEST(GatewayPool, AStaleConnectionIsRetriedOnceOnAFreshOne) {
  FakeProvider provider([](const AskedOf& asked, const Fd& to) {
    if (asked.request % 2 == 0) return false;  // without a byte
    return answer_whole(asked, to);
  });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  EXPECT_EQ(provider.asked().size(), 3U);
  EXPECT_EQ(rig.usage().calls, 1U);
  EXPECT_EQ(rig.usage().calls, 2U) << "a retry is no call of the session";
}

TEST(GatewayPool, AFreshConnectionThatSaysNothingIsNotRetried) {
  FakeProvider provider([](const AskedOf&, const Fd&) { return false; });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 502);
  EXPECT_EQ(provider.asked().size(), 1U);
}

TEST(GatewayPool, AttackACutAnswerIsNeitherRetriedNorItsConnectionUsedAgain) {
  FakeProvider provider([](const AskedOf& asked, const Fd& to) {
    if (asked.request != 2) return answer_whole(asked, to);
    say(to, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun");
    return false;
  });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_TRUE(pi.post(kTarget, kAsk).complete);
  EXPECT_FALSE(pi.post(kTarget, kAsk).complete);
  EXPECT_EQ(provider.asked().size(), 2U);
  EXPECT_TRUE(pi.post(kTarget, kAsk).complete);
  EXPECT_EQ(provider.connections(), 2);
}

// What the provider says late to a call that was given up must not become the answer of the next.
TEST(GatewayPool, AttackTheAnswerOfAnAbortedCallReachesNobody) {
  FakeProvider provider([](const AskedOf& asked, const Fd& to) {
    if (asked.request != 2) return answer_whole(asked, to);
    say(to, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 30\r\n\r\nbegun");
    char byte = 0;
    while (::recv(to.get(), &byte, 1, 0) > 0) {
    }
    return false;
  });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  {
    const Fd call = pi.begin(kTarget, kAsk);
    (void)pi.read_until(call, "begun");
  }
  (void)rig.usage(), (void)rig.usage();  // it has noticed
  const Answer next = pi.post(kTarget, kAsk);
  EXPECT_EQ(next.body, kUsage);
  EXPECT_EQ(provider.connections(), 2);
}

TEST(GatewayPool, AProviderThatWantsToCloseIsLeftAlone) {
  FakeProvider provider([](const AskedOf&, const Fd& to) {
    say(to, whole_answer(200, kUsage, "Connection: close\r\n"));
    return true;
  });
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
  EXPECT_EQ(provider.connections(), 2);
}

}  // namespace
}  // namespace oqto::gateway::test
