// The real process, with this test as guard, auditd and harness. The provider is a scripted one on
// loopback (tests/tools/mock-provider.mjs).
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "gateway/gateway_rig.h"

namespace oqto::gateway::test {
namespace {

constexpr const char* kKey = "sk-secret-0123456789";

std::string providers(const Mock& mock) {
  return "[[provider]]\nname = \"o\"\nkind = \"openai\"\nbase_url = \"" + mock.url() +
         "/v1\"\nkey = \"" + kKey + "\"\n[[provider.model]]\nid = \"gpt\"\nreasoning = true\n" +
         "[[provider]]\nname = \"a\"\nkind = \"anthropic\"\nbase_url = \"" + mock.url() +
         "\"\nkey = \"" + kKey + "\"\n[[provider.model]]\nid = \"claude\"\n";
}

const std::string kOpenAi = "/o/v1/chat/completions";
const std::string kAnthropic = "/a/v1/messages";
std::string ask(const std::string& model, const std::string& extra = R"("stream":true)") {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":"hi"}],)" + extra +
         "}";
}

class GatewayProcess : public ::testing::Test {
 protected:
  Mock mock_;
};

TEST_F(GatewayProcess, TellsPiTheModelsButNeverAKey) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  EXPECT_NE(pi.models_json.find("http://models.oqto/o/v1"), std::string::npos);
  EXPECT_EQ(rig.models_json, pi.models_json) << "the guard has them before any session";
  EXPECT_NE(pi.models_json.find(R"("api": "anthropic-messages")"), std::string::npos);
  EXPECT_EQ(pi.models_json.find("secret"), std::string::npos);
  EXPECT_EQ(pi.settings_json.find("secret"), std::string::npos);
  EXPECT_NE(pi.settings_json.find(R"("defaultModel": "gpt")"), std::string::npos);
}

TEST_F(GatewayProcess, StreamsBothShapesThroughAndCountsTokens) {
  mock_.script(R"({"turns":[{"text":"hello world","usage":{"input":11,"output":7}}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  const Answer openai = pi.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(openai.status, 200);
  EXPECT_NE(openai.body.find("hello world"), std::string::npos) << openai.body;
  EXPECT_TRUE(openai.body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(rig.usage().tokens_in, 11U);
  const Answer anthropic = pi.post(kAnthropic, ask("claude"));
  EXPECT_EQ(anthropic.status, 200);
  EXPECT_NE(anthropic.body.find("message_stop"), std::string::npos);
  const auto usage = rig.usage();
  EXPECT_EQ(usage.calls, 2U);
  EXPECT_EQ(usage.tokens_in, 22U);
  EXPECT_EQ(usage.tokens_out, 14U);
  EXPECT_EQ(usage.session, pi.number);
}

TEST_F(GatewayProcess, PassesAnUnstreamedAnswerAndCountsIt) {
  mock_.script(R"({"turns":[{"text":"whole","usage":{"input":3,"output":4}}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  EXPECT_NE(pi.post(kOpenAi, ask("gpt", R"("stream":false)")).body.find("whole"),
            std::string::npos);
  EXPECT_EQ(rig.usage().tokens_out, 4U);
}

TEST_F(GatewayProcess, TheProviderSeesTheRealKeyAndNothingOfTheHarnessesHeaders) {
  Mock strict(kKey);
  Rig rig(providers(strict));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt"), "Authorization: Bearer oqto\r\nCookie: a=b\r\n").status,
            200);
  EXPECT_EQ(pi.post(kAnthropic, ask("claude"), "X-Api-Key: oqto\r\n").status, 200);
  EXPECT_EQ(strict.get("/__mock/requests").find("cookie"), std::string::npos);
}

TEST_F(GatewayProcess, RedactsAKeyThatAProviderEchoes) {
  mock_.script(std::string(R"({"turns":[{"error":{"status":401,"message":"bad key )") + kKey +
               R"("}},{"text":"your key is )" + kKey + R"(","chunkSize":400}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  const Answer refused = pi.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_NE(refused.body.find("bad key [redacted]"), std::string::npos) << refused.body;
  const Answer echoed = pi.post(kOpenAi, ask("gpt"));
  EXPECT_NE(echoed.body.find("your key is [redacted]"), std::string::npos);
}

TEST_F(GatewayProcess, PassesStatusErrorAndRetryAfterOn) {
  mock_.script(R"({"turns":[{"error":{"status":429,"message":"slow down",
                  "headers":{"retry-after":"7"}}},{"error":{"status":500,"message":"boom"}}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  const Answer limited = pi.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(limited.status, 429);
  EXPECT_NE(limited.head.find("retry-after: 7"), std::string::npos) << limited.head;
  EXPECT_NE(limited.body.find("slow down"), std::string::npos);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 500);
  EXPECT_EQ(rig.audit.last_outcome(), ipc::Outcome::failure);
}

TEST_F(GatewayProcess, ADroppedStreamIsCutAndAnAbsentProviderIsABadGateway) {
  mock_.script(R"({"turns":[{"text":"some text that is cut","chunkSize":4,"disconnectAfter":2}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  const Answer cut = pi.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(cut.status, 200);
  EXPECT_FALSE(cut.complete);
  EXPECT_EQ(rig.audit.last_outcome(), ipc::Outcome::failure);

  Rig nobody("[[provider]]\nname=\"o\"\nkind=\"openai\"\nbase_url=\"http://localhost:1/v1\"\n"
             "key=\"k\"\n[[provider.model]]\nid=\"gpt\"\n");
  Pi lonely(nobody);
  const Answer none = lonely.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(none.status, 502);
  EXPECT_NE(none.body.find("api_error"), std::string::npos);
}

TEST_F(GatewayProcess, AnAbortReachesTheProvider) {
  mock_.script(R"({"turns":[{"text":"begun","hang":true}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  {
    const Fd call = pi.begin(kOpenAi, ask("gpt"));
    EXPECT_NE(pi.read_until(call, "begun").find("begun"), std::string::npos);
  }  // closed here
  EXPECT_TRUE(mock_.reaches(R"("abortedStreams":1)"));
  EXPECT_EQ(rig.audit.wait_outcome(), ipc::Outcome::failure);
}

std::string priced(const Mock& mock) {
  return "[[provider]]\nname=\"o\"\nkind=\"openai\"\nbase_url=\"" + mock.url() +
         "/v1\"\nkey=\"k\"\n[[provider.model]]\nid=\"gpt\"\ninput_cost=3\noutput_cost=15\n" +
         "[[provider]]\nname=\"a\"\nkind=\"anthropic\"\nbase_url=\"" + mock.url() +
         "\"\nkey=\"k\"\n[[provider.model]]\nid=\"claude\"\ninput_cost=3\noutput_cost=15\n";
}

TEST_F(GatewayProcess, CountsACallByItsPrices) {
  mock_.script(R"({"turns":[{"text":"hello","usage":{"input":11,"output":7}}]})");
  Rig rig(priced(mock_));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
  const auto usage = rig.usage();
  EXPECT_EQ(usage.cost_nanos, 11U * 3000 + 7U * 15000);
  EXPECT_EQ(usage.estimated_calls, 0U);
  const ipc::AuditAppend outcome = rig.audit.wait_record(ipc::Phase::outcome);
  EXPECT_EQ(field(outcome, ipc::FieldKey::cost_nanos), std::to_string(usage.cost_nanos));
  EXPECT_EQ(field(outcome, ipc::FieldKey::estimated), "(none)");
}

TEST_F(GatewayProcess, AttackAnAbortedStreamCountsForBothShapes) {
  mock_.script(R"({"turns":[{"text":"begun and said","hang":true}]})");
  Rig rig(priced(mock_));
  Pi pi(rig);
  std::uint64_t before = 0;
  for (const auto& [target, model] : {std::pair(kOpenAi, "gpt"), std::pair(kAnthropic, "claude")}) {
    {
      const Fd call = pi.begin(target, ask(model));
      (void)pi.read_until(call, "said");
    }  // closed here
    const auto usage = rig.usage();
    EXPECT_GT(usage.tokens_in, before);
    EXPECT_GE(usage.tokens_out, 3U);
    EXPECT_GT(usage.cost_nanos, 0U);
    EXPECT_EQ(usage.estimated_calls, usage.calls);
    before = usage.tokens_in;
    const ipc::AuditAppend outcome = rig.audit.wait_record(ipc::Phase::outcome);
    EXPECT_EQ(field(outcome, ipc::FieldKey::estimated), "true");
  }
}

TEST_F(GatewayProcess, ACallWithoutAFrameOfUsageIsEstimatedAndARefusedOneIsFree) {
  mock_.script(R"({"turns":[{"rawBody":"data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n"},
                   {"error":{"status":429,"message":"slow down"}}]})");
  Rig rig(priced(mock_));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
  const auto usage = rig.usage();
  EXPECT_EQ(usage.tokens_in, (ask("gpt").size() + 3) / 4);
  EXPECT_EQ(usage.tokens_out, 2U);
  EXPECT_EQ(usage.estimated_calls, 1U);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 429);
  const auto refused = rig.usage();
  EXPECT_EQ(refused.calls, 2U);
  EXPECT_EQ(refused.tokens_in, usage.tokens_in);
  EXPECT_EQ(refused.estimated_calls, 1U);
}

TEST_F(GatewayProcess, GoesOnWithTheCountOfAGatewayBeforeIt) {
  mock_.script(R"({"turns":[{"text":"x","usage":{"input":11,"output":7}}]})");
  Rig rig(priced(mock_));
  ipc::OpenGate gate;
  gate.account = 7;
  gate.calls = 4, gate.tokens_in = 100, gate.tokens_out = 50, gate.cost_nanos = 9, gate.estimated_calls = 1;
  Pi pi(rig, gate);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
  const auto usage = rig.usage();
  EXPECT_EQ(usage.calls, 5U);
  EXPECT_EQ(usage.tokens_in, 111U);
  EXPECT_EQ(usage.tokens_out, 57U);
  EXPECT_EQ(usage.cost_nanos, 9U + 11U * 3000 + 7U * 15000);
  EXPECT_EQ(usage.estimated_calls, 1U);
}

// Each account chooses its sessions' ids.
TEST_F(GatewayProcess, AttackTwoAccountsWithOneSessionIdAreTwoSessions) {
  mock_.script(R"({"turns":[{"text":"x","usage":{"input":11,"output":7}}]})");
  Rig rig(providers(mock_));
  Pi alice(rig, 7), bob(rig, 8, alice.session);
  EXPECT_EQ(alice.post(kOpenAi, ask("gpt")).status, 200);
  EXPECT_EQ(rig.usage().session, alice.number);
  EXPECT_EQ(bob.post(kOpenAi, ask("gpt")).status, 200);
  const auto usage = rig.usage();
  EXPECT_EQ(usage.session, bob.number);
  EXPECT_EQ(usage.calls, 1U);
  rig.guard.send(ipc::CloseGate{bob.number}).value();
  EXPECT_EQ(alice.post(kOpenAi, ask("gpt")).status, 200);
}

TEST_F(GatewayProcess, ClosingTheGateEndsItsCallsAndItsSocketsOnly) {
  mock_.script(R"({"rules":[{"when":{"anyContains":"hang"},"turn":{"text":"begun","hang":true}}],
                  "turns":[{"text":"fine"}]})");
  Rig rig(providers(mock_));
  Pi first(rig);
  Pi second(rig);
  const Fd call = first.begin(kOpenAi, ask("gpt", R"("user":"hang","stream":true)"));
  (void)first.read_until(call, "begun");
  rig.guard.send(ipc::CloseGate{first.number}).value();
  EXPECT_TRUE(mock_.reaches(R"("abortedStreams":1)"));
  EXPECT_EQ(first.post(kOpenAi, ask("gpt")).status, 0);
  EXPECT_EQ(second.post(kOpenAi, ask("gpt")).status, 200);
  EXPECT_EQ(rig.usage().session, second.number);
}

TEST_F(GatewayProcess, RefusesWhatIsNotConfigured) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt-other")).status, 404);
  EXPECT_EQ(pi.post(kOpenAi, ask("claude")).status, 404);
  EXPECT_EQ(pi.post("/x/v1/chat/completions", ask("gpt")).status, 404);
  EXPECT_EQ(pi.post("/o/v1/embeddings", ask("gpt")).status, 404);
  EXPECT_EQ(pi.post("/o/v1/chat/completions?x=1", ask("gpt")).status, 404);
  EXPECT_EQ(pi.post("/o/v1/messages", ask("gpt")).status, 404);
  EXPECT_EQ(pi.post(kOpenAi, "{}").status, 400);
  EXPECT_EQ(pi.post(kOpenAi, "nonsense").status, 400);
  EXPECT_NE(mock_.get("/__mock/state").find(R"("requests":0)"), std::string::npos);
}

TEST_F(GatewayProcess, AttackTwoModelNamesInOneBody) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  EXPECT_EQ(pi.post(kOpenAi, R"({"model":"gpt","mod\u0065l":"forbidden","messages":[]})").status,
            400);
  EXPECT_NE(mock_.get("/__mock/state").find(R"("requests":0)"), std::string::npos);
}

TEST_F(GatewayProcess, AttackARequestHiddenInAChunkedBody) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  const Fd call = pi.send("POST " + kOpenAi + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(pi.read_until(call, "200 OK").find("200 OK"), std::string::npos);
  EXPECT_NE(mock_.get("/__mock/state").find(R"("requests":0)"), std::string::npos);
}

TEST_F(GatewayProcess, RefusesTheNinthCallOfASession) {
  mock_.script(R"({"turns":[{"text":"begun","hang":true}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  std::vector<Fd> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(pi.begin(kOpenAi, ask("gpt")));
    (void)pi.read_until(calls.back(), "begun");
  }
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 429);
}

TEST_F(GatewayProcess, RecordsTheIntentBeforeItDialsAndTheOutcomeAfter) {
  mock_.script(R"({"turns":[{"text":"x","usage":{"input":5,"output":6}}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  rig.audit.hold(true);
  const Fd call = pi.begin(kOpenAi, ask("gpt"));
  const ipc::AuditAppend intent = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_NE(mock_.get("/__mock/state").find(R"("requests":0)"), std::string::npos);
  EXPECT_EQ(field(intent, ipc::FieldKey::session), pi.session.text());
  EXPECT_EQ(field(intent, ipc::FieldKey::model), "gpt");
  EXPECT_EQ(field(intent, ipc::FieldKey::provider), "o");
  EXPECT_EQ(field(intent, ipc::FieldKey::args_bytes), std::to_string(ask("gpt").size()));
  rig.audit.hold(false);
  (void)pi.read_until(call, "[DONE]");
  const ipc::AuditAppend outcome = rig.audit.wait_record(ipc::Phase::outcome);
  EXPECT_EQ(outcome.outcome, ipc::Outcome::success);
  EXPECT_EQ(field(outcome, ipc::FieldKey::http_status), "200");
  EXPECT_EQ(field(outcome, ipc::FieldKey::tokens_in), "5");
  EXPECT_EQ(field(outcome, ipc::FieldKey::tokens_out), "6");
}

TEST_F(GatewayProcess, RefusesCallsWithoutAnAuditLogUntilItIsBack) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  rig.audit.refuse(true);
  const Answer refused = pi.post(kAnthropic, ask("claude"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.body,
            R"({"error":{"message":"the audit log does not accept records now",)"
            R"("type":"overloaded_error"},"type":"error"})");
  rig.audit.refuse(false);
  rig.drop_audit();
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 503);
  rig.rewire_audit();
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
}

TEST_F(GatewayProcess, VerifiesTheCertificateOfAnHttpsProvider) {
  const TlsFront front(mock_.port());
  const std::string config = "[[provider]]\nname=\"o\"\nkind=\"openai\"\nbase_url=\"" +
                             front.url() + "\"\nkey=\"k\"\n[[provider.model]]\nid=\"gpt\"\n";
  Rig trusting(config, front.ca_file());
  Pi pi(trusting);
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
  Rig wary(config, "/etc/ssl/certs/ca-certificates.crt");
  Pi other(wary);
  const Answer refused = other.post(kOpenAi, ask("gpt"));
  EXPECT_EQ(refused.status, 502);
  EXPECT_NE(refused.body.find("did not prove who it is"), std::string::npos) << refused.body;
}

TEST_F(GatewayProcess, AnswersDnsForTheModelsNameAlone) {
  Rig rig("");
  Pi pi(rig);
  const std::string reply = pi.ask_dns("models.oqto", 1);
  ASSERT_GE(reply.size(), 4U);
  EXPECT_EQ(reply.substr(reply.size() - 4), std::string("\xc6\x12\x00\x02", 4));
  EXPECT_EQ(pi.ask_dns("example.com", 1)[3] & 0x0f, 3);
}

TEST_F(GatewayProcess, WithoutAConfigurationTheDemoDrivesToolCalls) {
  Rig rig("");
  Pi pi(rig);
  EXPECT_NE(pi.models_json.find("Demo (scripted, no AI)"), std::string::npos);
  const Answer answer = pi.post(
      "/demo/v1/chat/completions",
      R"({"model":"demo","stream":true,"tools":[{"type":"function","function":{"name":"bash"}}],)"
      R"("messages":[{"role":"user","content":"list files"}]})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find("tool_calls"), std::string::npos);
  EXPECT_NE(answer.body.find(R"("name":"bash")"), std::string::npos);
  EXPECT_GT(rig.usage().tokens_out, 0U);
}

TEST_F(GatewayProcess, AStoppedDemoStops) {
  Rig rig("");
  Pi pi(rig);
  {
    const Fd call = pi.begin("/demo/v1/chat/completions",
                             R"({"model":"demo","stream":true,"messages":[{"role":"user",)"
                             R"("content":"count to 300 slowly"}]})");
    (void)pi.read_until(call, "scripted");
  }
  EXPECT_EQ(rig.audit.wait_outcome(), ipc::Outcome::failure);
}

TEST_F(GatewayProcess, RefusesToStartWithABadConfiguration) {
  std::string errors;
  EXPECT_EQ(Rig::exit_status_with("[[provider]]\nname=\"x\"\nsecret=1\n", errors), 1);
  EXPECT_NE(errors.find("gateway.toml:"), std::string::npos) << errors;
}

TEST_F(GatewayProcess, EndsCleanlyWithTheGuardAndOnSigterm) {
  Rig one(providers(mock_));
  EXPECT_EQ(one.end_by_closing_the_guard(), 0);
  Rig two(providers(mock_));
  Pi pi(two);
  EXPECT_EQ(two.end(SIGTERM), 0);
}

TEST_F(GatewayProcess, SurvivesNonsenseOnTheModelSocket) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  for (const std::string& bytes : {std::string("\0\0\0", 3), std::string(100'000, 'A'),
                                   std::string("GET / HTTP/1.1\r\n\r\n"),
                                   std::string("POST /o/v1/chat/completions HTTP/1.1\r\n"
                                               "Content-Length: 99999999999\r\n\r\n")}) {
    const Fd call = pi.send(bytes);
    ::shutdown(call.get(), SHUT_WR);
    EXPECT_EQ(pi.read_until(call, "200 OK").find("200 OK"), std::string::npos);
  }
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt")).status, 200);
}

}  // namespace
}  // namespace oqto::gateway::test
