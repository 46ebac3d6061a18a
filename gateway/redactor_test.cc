#include "gateway/redactor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

const std::string kKey = "sk-ant-api03-Zm9vYmFy_0123456789-abcdefghij~K3Y";

std::vector<std::string> pieces_of(const std::string& text, std::size_t size) {
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < text.size(); at += size) pieces.push_back(text.substr(at, size));
  return pieces;
}

std::string openai(const std::string& delta) {
  return "data: " + Json{{"id", "c1"}, {"choices", {{{"index", 0}, {"delta", {{"content", delta}}}}}}}.dump() + "\n\n";
}
std::string anthropic(const std::string& delta, int index = 0) {
  const Json json = {{"type", "content_block_delta"}, {"index", index},
                     {"delta", {{"type", "text_delta"}, {"text", delta}}}};
  return "event: content_block_delta\ndata: " + json.dump() + "\n\n";
}

// What a harness puts together.
std::string joined(const std::string& stream) {
  std::string text;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t end = stream.find('\n', at);
    const std::string line = stream.substr(at, end - at);
    at = end == stream.npos ? stream.size() : end + 1;
    if (!line.starts_with("data: ") || line == "data: [DONE]") continue;
    const Json json = Json::parse(line.substr(6));
    const Json& delta = json.contains("delta") ? json["delta"] : json["choices"][0]["delta"];
    for (const char* key : {"content", "text", "partial_json"}) {
      if (delta.contains(key)) text += delta[key].get<std::string>();
    }
  }
  return text;
}

std::string passed(Redactor& redactor, const std::string& stream, std::size_t cut = 1000) {
  std::string out;
  for (const std::string& piece : pieces_of(stream, cut)) out += redactor.feed(piece);
  return out + redactor.finish();
}

TEST(GatewayRedactor, AttackAKeySplitOverDeltasIsFoundInBothShapes) {
  for (std::size_t size = 1; size <= kKey.size(); ++size) {
    for (std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{4000}}) {
      std::string one = openai("Your key is ");
      std::string other = anthropic("Your key is ");
      for (const std::string& piece : pieces_of(kKey, size)) one += openai(piece), other += anthropic(piece);
      one += openai(". Keep it.") + "data: [DONE]\n\n";
      other += anthropic(". Keep it.");
      for (const std::string& stream : {one, other}) {
        Redactor redactor(kKey, true);
        const std::string text = joined(passed(redactor, stream, cut));
        // Three characters may have passed before there was a reason to wait.
        const std::size_t at = text.find("[redacted]. Keep it.");
        ASSERT_NE(at, text.npos) << size << ": " << text;
        ASSERT_LE(at, std::string("Your key is ").size() + 3) << size << ": " << text;
      }
    }
  }
}

TEST(GatewayRedactor, AttackAKeyInJsonEscapesIsFoundAlsoTwiceOver) {
  std::string once;
  for (const char c : kKey) {
    char escaped[8];
    (void)std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
    once += escaped;
  }
  const std::string document = "{\"error\":{\"message\":\"bad key " + once + "\"}}";
  for (std::size_t cut = 1; cut < 60; ++cut) {
    Redactor redactor(kKey);
    EXPECT_EQ(passed(redactor, document, cut), R"({"error":{"message":"bad key [redacted]"}})") << cut;
  }
  Redactor mixed(kKey);
  EXPECT_EQ(passed(mixed, R"({"m":"\u0073k-)" + kKey.substr(3) + R"("})"), R"({"m":"[redacted]"})");
  // In the arguments of a tool, which are JSON in JSON, and split within an escape.
  std::string stream;
  for (const std::string& piece : pieces_of(R"({"command":"echo )" + once + "\"}", 16)) {
    stream += "data: " + Json{{"index", 1}, {"delta", {{"partial_json", piece}}}}.dump() + "\n\n";
  }
  Redactor redactor(kKey, true);
  const std::string text = joined(passed(redactor, stream));
  EXPECT_NE(text.find("[redacted]"), text.npos) << text;
  EXPECT_EQ(text.find(once.substr(once.size() - 60)), text.npos) << text;
  EXPECT_LT(text.size(), 60U) << text;
}

TEST(GatewayRedactor, AttackAKeyInBase64IsFoundWhereverItStandsInWhatWasEncoded) {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  for (const std::string& digits : {letters + "+/", letters + "-_"}) {
    for (const std::string before : {"", "a", "ab", "key: "}) {
      const std::string bytes = before + kKey + " and more";
      std::string encoded;
      for (std::size_t bit = 0; bit + 6 <= bytes.size() * 8; bit += 6) {
        unsigned value = 0;
        for (std::size_t i = bit; i < bit + 6; ++i) {
          value = value << 1 | (static_cast<unsigned char>(bytes[i / 8]) >> (7 - i % 8) & 1U);
        }
        encoded += digits[value];
      }
      std::string stream;
      for (const std::string& piece : pieces_of(encoded, 16)) stream += openai(piece);
      Redactor redactor(kKey, true);
      const std::string text = joined(passed(redactor, stream));
      EXPECT_NE(text.find("[redacted]"), text.npos) << before << ": " << text;
      EXPECT_LT(text.size(), encoded.size() - kKey.size()) << before << ": " << text;
    }
  }
}

TEST(GatewayRedactor, AttackOtherEventsInBetweenDoNotWearItOut) {
  std::string stream;
  for (const std::string& piece : pieces_of(kKey, 16)) {
    stream += anthropic(piece);
    for (int i = 0; i < 100; ++i) stream += "event: ping\ndata: {\"type\":\"ping\"}\n\n" + anthropic("x", 1);
  }
  Redactor redactor(kKey, true);
  const std::string out = passed(redactor, stream);
  for (const std::string& piece : pieces_of(kKey, 16)) EXPECT_EQ(out.find(piece), out.npos) << piece;
  EXPECT_NE(out.find("[redacted]"), out.npos);
}

TEST(GatewayRedactor, AttackAKeyWithoutItsEndDoesNotPassAtTheEnd) {
  Redactor stream(kKey, true);
  EXPECT_EQ(passed(stream, anthropic("it is " + kKey.substr(0, kKey.size() - 1))), anthropic("it is [redacted]"));
  Redactor document(kKey);
  EXPECT_EQ(passed(document, "it is " + kKey.substr(0, kKey.size() - 1)), "it is [redacted]");
}

TEST(GatewayRedactor, AttackALineWithoutEndHidesNothing) {
  const std::string filler(Redactor::kMaxLine - 10, 'x');
  Redactor redactor(kKey, true);
  const std::string out = passed(redactor, "data: " + filler + kKey + filler + kKey + "\n\n");
  EXPECT_EQ(out.find(kKey), out.npos);
  EXPECT_EQ(out.find(kKey.substr(20)), out.npos);
  EXPECT_EQ(out.size(), 6 + 2 * filler.size() + 2 * 10 + 2);
}

TEST(GatewayRedactor, EveryOtherEventPassesUnchangedAndAtOnce) {
  Redactor redactor(kKey, true);
  for (const std::string& event :
       {openai("tasks"), openai("s"), openai("k-"), openai("a sk-an"), openai(" \"quoted\" \\ \u00e9 \t"),
        std::string("data: [DONE]\n\n"), std::string(": comment\n\n"), std::string("data: {\"a\":\"b\n\n"),
        std::string("data: \\\n\n"), std::string("data: {\"a\":\"\\u00\"}\r\n\r\n"), anthropic("s"), anthropic("k")}) {
    const bool may_be_one = event == openai("a sk-an");
    const std::string out = redactor.feed(event);
    if (may_be_one) {
      EXPECT_EQ(out, "");
      EXPECT_EQ(redactor.feed(openai("d no key")), event + openai("d no key"));
    } else {
      EXPECT_EQ(out, event);
    }
  }
  EXPECT_EQ(redactor.finish(), "");
}

TEST(GatewayRedactor, WhatOnlyBeganLikeAKeyPassesWholeAndSoon) {
  Redactor redactor(kKey, true);
  const std::string begun = anthropic("they begin with sk-ant-");
  std::string sent = begun;
  std::string out = redactor.feed(begun);
  EXPECT_EQ(out.find("sk-ant-"), out.npos);
  for (int i = 0; i < 17; ++i) {
    sent += anthropic("x", 1);
    out += redactor.feed(anthropic("x", 1));
  }
  EXPECT_EQ(out, sent);
}

}  // namespace
}  // namespace oqto::gateway
