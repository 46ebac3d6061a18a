// A provider that says our key back to the session, in the ways that a plain search does not see.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "gateway/fake_provider.h"
#include "gateway/gateway_rig.h"

namespace oqto::gateway::test {
namespace {

using Json = nlohmann::json;

const std::string kKey = "sk-secret-0123456789-abcdefghijklmnopqrstuvwxyz";
const std::string kOpenAi = "/o/v1/chat/completions";
const std::string kAnthropic = "/a/v1/messages";

std::string config_for(const FakeProvider& provider) {
  return "[[provider]]\nname=\"o\"\nkind=\"openai\"\nbase_url=\"" + provider.url() + "/v1\"\nkey=\"" + kKey +
         "\"\n[[provider.model]]\nid=\"m\"\n[[provider]]\nname=\"a\"\nkind=\"anthropic\"\nbase_url=\"" +
         provider.url() + "\"\nkey=\"" + kKey + "\"\n[[provider.model]]\nid=\"m\"\n";
}

std::string frame(bool anthropic, const std::string& text) {
  const Json json = anthropic ? Json{{"type", "content_block_delta"}, {"index", 0},
                                     {"delta", {{"type", "text_delta"}, {"text", text}}}}
                              : Json{{"choices", {{{"index", 0}, {"delta", {{"content", text}}}}}}};
  return (anthropic ? "event: content_block_delta\ndata: " : "data: ") + json.dump() + "\n\n";
}

std::string text_of(const std::string& body) {
  std::string text;
  for (std::size_t at = body.find("data: {"); at != body.npos; at = body.find("data: {", at + 1)) {
    const Json json = Json::parse(body.substr(at + 6, body.find('\n', at) - at - 6));
    text += json.contains("delta") ? json["delta"]["text"] : json["choices"][0]["delta"]["content"];
  }
  return text;
}

TEST(GatewayEcho, AttackAKeySplitOverTheDeltasOfAStream) {
  FakeProvider provider([](const AskedOf& asked, const Fd& to) {
    const bool anthropic = asked.head.find("/v1/messages") != std::string::npos;
    std::vector<std::string> frames{frame(anthropic, "your key: ")};
    for (std::size_t at = 0; at < kKey.size(); at += 16) frames.push_back(frame(anthropic, kKey.substr(at, 16)));
    frames.push_back(frame(anthropic, " is safe"));
    say(to, stream_answer(frames));
    return true;
  });
  Rig rig(config_for(provider));
  Pi pi(rig);
  for (const std::string& target : {kOpenAi, kAnthropic}) {
    const Answer answer = pi.post(target, R"({"model":"m","stream":true})");
    EXPECT_EQ(text_of(answer.body), "your key: [redacted] is safe") << answer.body;
    EXPECT_TRUE(answer.complete);
  }
}

TEST(GatewayEcho, AttackAKeyInEscapesAndInBase64) {
  FakeProvider provider([](const AskedOf& asked, const Fd& to) {
    const std::string escaped = "\\u0073\\u006B-" + kKey.substr(3);
    if (asked.request % 2 != 0) {
      say(to, whole_answer(401, "{\"error\":{\"message\":\"" + escaped + "\"}}",
                           "request-id: " + kKey + "\r\nx-request-id: fine\r\n"));
    } else {  // of "key=" and the key
      say(to, whole_answer(200, R"({"text":"a2V5PXNrLXNlY3JldC0wMTIzNDU2Nzg5LWFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6"})"));
    }
    return true;
  });
  Rig rig(config_for(provider));
  Pi pi(rig);
  for (const std::string& target : {kOpenAi, kAnthropic}) {
    const Answer escaped = pi.post(target, R"({"model":"m"})");
    EXPECT_EQ(escaped.body, R"({"error":{"message":"[redacted]"}})");
    EXPECT_EQ(escaped.head.find("secret"), std::string::npos) << escaped.head;
    EXPECT_NE(escaped.head.find("fine"), std::string::npos) << escaped.head;
    const Answer encoded = pi.post(target, R"({"model":"m"})");
    EXPECT_NE(encoded.body.find("[redacted]"), std::string::npos) << encoded.body;
    EXPECT_EQ(encoded.body.find("c2VjcmV0"), std::string::npos) << encoded.body;
    EXPECT_EQ(encoded.body.find("NlY3JldC0w"), std::string::npos) << encoded.body;
  }
}

// What may be the beginning of a key waits for the next event; all else does not.
TEST(GatewayEcho, TextIsNotHeldBack) {
  FakeProvider provider([](const AskedOf&, const Fd& to) {
    const std::string one = frame(false, "tasks");
    say(to, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5000\r\n\r\n" + one);
    char byte = 0;
    while (::recv(to.get(), &byte, 1, 0) > 0) {
    }
    return false;
  });
  Rig rig(config_for(provider));
  Pi pi(rig);
  const Fd call = pi.begin(kOpenAi, R"({"model":"m","stream":true})");
  EXPECT_NE(pi.read_until(call, "tasks").find("tasks"), std::string::npos);
}

}  // namespace
}  // namespace oqto::gateway::test
