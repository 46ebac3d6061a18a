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

double seconds_between(const AskedOf& one, const AskedOf& two) {
  return std::chrono::duration<double>(two.at - one.at).count();
}

// The first request is refused so; what comes later is answered.
FakeProvider::Serve refusing_first(int status, const std::string& retry_after) {
  return [status, retry_after](const AskedOf& asked, const Fd& to) {
    if (asked.request > 1) return answer_whole(asked, to);
    say(to, whole_answer(status, R"({"error":{"message":"slow down"}})", "Retry-After: " + retry_after + "\r\n"));
    return true;
  };
}

TEST(GatewayRetryAfter, TheNextCallsOfTheSessionWaitAsLongAsTheProviderAsked) {
  for (const int status : {429, 503}) {
    FakeProvider provider(refusing_first(status, "2"));
    Rig rig(config_for(provider.url() + "/v1"));
    Pi pi(rig);
    EXPECT_EQ(pi.post(kTarget, kAsk).status, status);
    EXPECT_EQ(pi.post(kTarget, kAsk).status, 200);
    ASSERT_EQ(provider.asked().size(), 2U);
    EXPECT_GE(seconds_between(provider.asked()[0], provider.asked()[1]), 1.9);
    EXPECT_LT(seconds_between(provider.asked()[0], provider.asked()[1]), 10);
  }
}

TEST(GatewayRetryAfter, OtherSessionsDoNotWait) {
  FakeProvider provider(refusing_first(429, "30"));
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  Pi other(rig, 8);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 429);
  EXPECT_EQ(other.post(kTarget, kAsk).status, 200);
  EXPECT_LT(seconds_between(provider.asked()[0], provider.asked()[1]), 10);
}

TEST(GatewayRetryAfter, ACallThatWaitsCanBeAbortedAtOnce) {
  FakeProvider provider(refusing_first(429, "50"));
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 429);
  (void)rig.usage();
  (void)rig.audit.wait_outcome();
  const auto began = std::chrono::steady_clock::now();
  {
    const Fd call = pi.begin(kTarget, kAsk);
    (void)rig.audit.wait_record(ipc::Phase::intent);
  }  // closed here
  EXPECT_EQ(rig.audit.wait_outcome(), ipc::Outcome::failure);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(10));
  const auto usage = rig.usage();
  EXPECT_EQ(usage.calls, 2U);
  EXPECT_EQ(usage.tokens_in, 0U) << "the provider never saw it";
  EXPECT_EQ(provider.asked().size(), 1U);
}

TEST(GatewayRetryAfter, ALongPauseIsAnsweredAtOnceWithWhatIsLeftOfIt) {
  FakeProvider provider(refusing_first(429, "300"));
  Rig rig(config_for(provider.url() + "/v1"));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kTarget, kAsk).status, 429);
  const Answer again = pi.post(kTarget, kAsk);
  EXPECT_EQ(again.status, 429);
  EXPECT_TRUE(again.head.find("retry-after: 300") != std::string::npos ||
              again.head.find("retry-after: 299") != std::string::npos)
      << again.head;
  EXPECT_NE(again.body.find("rate_limit_error"), std::string::npos) << again.body;
  EXPECT_EQ(provider.asked().size(), 1U);
}

}  // namespace
}  // namespace oqto::gateway::test
