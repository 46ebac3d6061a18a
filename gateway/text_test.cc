// The parts of the gateway that are functions of text.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/config.h"
#include "gateway/demo.h"
#include "gateway/pi_files.h"
#include "gateway/redactor.h"
#include "gateway/retry_after.h"
#include "gateway/route.h"
#include "gateway/usage.h"

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

constexpr const char* kGood = R"toml(
default = "work/big"
[[provider]]
name = "work"
kind = "openai"
base_url = "https://llm.example:8443/api/v1/"
key = "sk-1"
[[provider.model]]
id = "small"
[[provider.model]]
id = "big"
name = "Big One"
reasoning = true
images = true
context_window = 200000
max_tokens = 32000
input_cost = 3
output_cost = 15.5
[[provider]]
name = "claude"
kind = "anthropic"
key = "sk-2"
[[provider.model]]
id = "c-1"
[[provider]]
name = "show"
kind = "demo"
)toml";

std::string error_of(const std::string& toml) {
  const auto config = parse_config(toml, "f.toml");
  return config ? "(accepted)" : config.error();
}

TEST(GatewayConfig, ReadsEverythingThatIsDocumented) {
  const auto config = parse_config(kGood, "f.toml");
  ASSERT_TRUE(config) << config.error();
  ASSERT_EQ(config->providers.size(), 3U);
  EXPECT_EQ(config->default_model, "big");
  const Provider& work = config->providers[0];
  EXPECT_EQ(work.endpoint.host, "llm.example");
  EXPECT_EQ(work.endpoint.port, "8443");
  EXPECT_EQ(work.endpoint.prefix, "/api/v1");
  EXPECT_EQ(work.models[1].output_cost, 15.5);
  EXPECT_TRUE(work.models[1].images);
  EXPECT_EQ(config->providers[1].endpoint.host, "api.anthropic.com");
  EXPECT_EQ(config->providers[2].kind, ProviderKind::demo);
}

TEST(GatewayConfig, AnEmptyFileIsTheDemoAlone) {
  const auto config = parse_config("", "f.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->providers.front().kind, ProviderKind::demo);
  EXPECT_EQ(config->default_provider, "demo");
}

TEST(GatewayConfig, RefusesWithFileAndLine) {
  EXPECT_EQ(error_of("\n\nsurprise = 1\n"), "f.toml:3: unknown key \"surprise\" in the file");
  const std::string head = "[[provider]]\nname = \"p\"\nkind = \"openai\"\n";
  const std::string model = "[[provider.model]]\nid = \"m\"\n";
  EXPECT_EQ(error_of(head + "keys = \"x\"\n" + model),
            "f.toml:4: unknown key \"keys\" in [[provider]]");
  EXPECT_EQ(error_of(head + model + "speed = 1\n"),
            "f.toml:6: unknown key \"speed\" in [[provider.model]]");
  EXPECT_EQ(error_of("x = 1\n= 2\n"), "f.toml:2: this is not valid TOML");
  EXPECT_TRUE(error_of("\n\xc3\xa4 = 1\n").starts_with("f.toml:2: only ASCII"));
  EXPECT_EQ(error_of("[[?rovider]]\n"), "f.toml:1: this is not valid TOML");
  EXPECT_EQ(error_of(head), "f.toml:1: provider \"p\" has no [[provider.model]]");
  EXPECT_EQ(error_of(head + "base_url = \"http://llm.example/v1\"\n" + model),
            "f.toml:4: \"base_url\" with http:// is only for this machine itself: use https://");
  EXPECT_EQ(error_of("default = \"p/none\"\n" + head + model),
            "f.toml:1: \"default\" must name a configured \"provider/model\"");
  EXPECT_EQ(error_of(head + model + head + model), "f.toml:6: this provider is listed twice");
  EXPECT_EQ(error_of("[[provider]]\nname = \"../p\"\n").substr(0, 17), "f.toml:2: \"name\" ");
}

TEST(GatewayConfig, AnErrorNeverShowsTheKey) {
  EXPECT_EQ(error_of("key = \"sk-secret\nx").find("sk-secret"), std::string::npos);
  EXPECT_EQ(error_of("[[provider]]\nname=\"p\"\nkind=\"openai\"\nkey=\"sk-secret \\n\"\n")
                .find("sk-secret"),
            std::string::npos);
}

TEST(GatewayConfig, AttackAKeyWithALineBreakWouldAddAHeader) {
  EXPECT_NE(error_of("[[provider]]\nname=\"p\"\nkind=\"openai\"\nkey=\"a\\r\\nX: y\"\n"
                     "[[provider.model]]\nid=\"m\"\n")
                .find("printable ASCII"),
            std::string::npos);
}

TEST(GatewayConfig, PlainHttpIsForLoopbackOnly) {
  for (const char* good : {"http://127.0.0.1:8080", "http://localhost/v1", "http://[::1]:9/v1",
                           "https://a.example", "https://[2001:db8::1]/x"}) {
    EXPECT_TRUE(parse_base_url(good)) << good;
  }
  for (const char* bad : {"http://10.0.0.1", "http://127.0.0.1.evil.example", "ftp://localhost",
                          "https://", "https://a@b", "https://a:0", "https://a:99999",
                          "https://a?x", "https://a b", "http://localhost.evil.example",
                          "https://a:b:c"}) {
    EXPECT_FALSE(parse_base_url(bad)) << bad;
  }
}

TEST(GatewayPiFiles, AreWhatPiReads) {
  const auto config = parse_config(kGood, "f.toml");
  ASSERT_TRUE(config);
  const Json models = Json::parse(models_json(*config));
  const Json& work = models["providers"]["work"];
  EXPECT_EQ(work["baseUrl"], "http://models.oqto/work/v1");
  EXPECT_EQ(work["api"], "openai-completions");
  EXPECT_EQ(work["apiKey"], "oqto");
  EXPECT_EQ(work["compat"]["supportsDeveloperRole"], false);
  EXPECT_EQ(work["models"][1]["input"], Json::array({"text", "image"}));
  EXPECT_EQ(models["providers"]["claude"]["baseUrl"], "http://models.oqto/claude");
  EXPECT_EQ(models["providers"]["show"]["models"][0]["name"], "Demo (scripted, no AI)");
  EXPECT_EQ(models.dump().find("sk-"), std::string::npos);
  const Json settings = Json::parse(settings_json(*config));
  EXPECT_EQ(settings["defaultProvider"], "work");
  EXPECT_EQ(settings["cacheWarming"], "off");
  EXPECT_EQ(settings["defaultProjectTrust"], "never");
}

TEST(GatewayUsage, IsTheSameHoweverTheStreamIsCut) {
  const std::string openai =
      "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":null}\r\n\r\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5}}\n\n"
      "data: [DONE]\n\n";
  const std::string anthropic =
      "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":3,"
      "\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}\n\n"
      "event: message_delta\ndata: {\"usage\":{\"output_tokens\":5}}\n\n";
  for (const std::string& stream : {openai, anthropic}) {
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      UsageReader reader;
      for (std::size_t at = 0; at < stream.size(); at += cut) {
        reader.feed(std::string_view(stream).substr(at, cut));
      }
      ASSERT_EQ(reader.usage().tokens_in, 12U) << cut;
      ASSERT_EQ(reader.usage().tokens_out, 5U) << cut;
    }
  }
}
TEST(GatewayUsage, IgnoresNonsenseAndOverlongLines) {
  UsageReader reader;
  reader.feed("data: {\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":\"many\"}}\n");
  reader.feed("data: {\"usage\":[1]}\ndata: {\"usage\":\n");
  reader.feed("data: " + std::string(UsageReader::kMaxLine, ' '));
  reader.feed("{\"usage\":{\"prompt_tokens\":9}}\n");
  EXPECT_EQ(reader.usage().tokens_in, 0U);
  reader.feed("data: {\"usage\":{\"prompt_tokens\":7}}\n");
  EXPECT_EQ(reader.usage().tokens_in, 7U);
}

Model priced() {
  Model model;
  model.input_cost = 3;
  model.output_cost = 15;
  model.cache_read_cost = 0.3;
  model.cache_write_cost = 3.75;
  return model;
}

TEST(GatewayUsage, CostsWhatThePricesSayAndCachedTokensTheirOwn) {
  UsageReader openai;
  openai.feed("data: {\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":10,"
              "\"prompt_tokens_details\":{\"cached_tokens\":600}}}\n");
  const Counted one = count_call(openai, priced(), 99, true);
  EXPECT_EQ(one.tokens_in, 1000U);
  EXPECT_EQ(one.cost_nanos, 400U * 3000 + 600U * 300 + 10U * 15000);
  EXPECT_FALSE(one.estimated);
  UsageReader anthropic;
  anthropic.feed("data: {\"message\":{\"usage\":{\"input_tokens\":100,\"cache_read_input_tokens\":200,"
                 "\"cache_creation_input_tokens\":300,\"output_tokens\":1}}}\n"
                 "data: {\"usage\":{\"output_tokens\":7}}\n");
  const Counted other = count_call(anthropic, priced(), 99, true);
  EXPECT_EQ(other.tokens_in, 600U);
  EXPECT_EQ(other.cost_nanos, 100U * 3000 + 200U * 300 + 300U * 3750 + 7U * 15000);
  EXPECT_EQ(count_call(anthropic, Model{}, 99, true).cost_nanos, 0U) << "without prices";
}
TEST(GatewayUsage, EstimatesWhatNoProviderHasCounted) {
  UsageReader cut;
  cut.feed("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"12345678\"}}],\"usage\":null}\n"
           "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"1234\"}}]}}]}\n");
  const Counted counted = count_call(cut, priced(), 4000, true);
  EXPECT_TRUE(counted.estimated);
  EXPECT_EQ(counted.tokens_in, 1000U);
  EXPECT_EQ(counted.tokens_out, 3U);
  EXPECT_EQ(counted.cost_nanos, 1000U * 3000 + 3U * 15000);
  UsageReader begun;  // Anthropic has counted the input, and the output not yet
  begun.feed("data: {\"message\":{\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n"
             "data: {\"delta\":{\"type\":\"text_delta\",\"text\":\"12345678\"}}\n");
  EXPECT_TRUE(count_call(begun, priced(), 4000, true).estimated);
  EXPECT_EQ(count_call(begun, priced(), 4000, true).tokens_in, 9U);
  EXPECT_EQ(count_call(begun, priced(), 4000, true).tokens_out, 2U);
  UsageReader whole(false);
  whole.feed(R"({"choices":[{"message":{"content":"12345678"}}]})");
  EXPECT_EQ(count_call(whole, priced(), 40, true).tokens_out, 2U);
  EXPECT_TRUE(count_call(whole, priced(), 40, true).estimated);
}
TEST(GatewayUsage, ARefusedCallCostsNothing) {
  UsageReader refused(false);
  refused.feed(R"({"error":{"message":"no"}})");
  const Counted counted = count_call(refused, priced(), 4000, false);
  EXPECT_EQ(counted.tokens_in + counted.tokens_out + counted.cost_nanos, 0U);
  EXPECT_FALSE(counted.estimated);
}

TEST(GatewayRetryAfter, IsSecondsOrADate) {
  constexpr std::uint64_t kNow = 1'445'412'400'000;  // Wed, 21 Oct 2015 07:26:40 GMT
  EXPECT_EQ(retry_after_ms("7", kNow), 7000U);
  EXPECT_EQ(retry_after_ms("0.5", kNow), 500U);
  EXPECT_EQ(retry_after_ms("99999999999", kNow), kMaxRetryAfterMs);
  EXPECT_EQ(retry_after_ms("Wed, 21 Oct 2015 07:28:00 GMT", kNow), 80'000U);
  EXPECT_EQ(retry_after_ms("Wed, 21 Oct 2015 07:00:00 GMT", kNow), 0U);
  for (const char* bad : {"", "-1", "7s", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 CET", "Wed"}) {
    EXPECT_FALSE(retry_after_ms(bad, kNow)) << bad;
  }
}

TEST(GatewayRequest, RedactsAKeyHoweverItIsCut) {
  const std::string text = "before sk-ksk-keyed after sk-k";
  for (std::size_t cut = 1; cut <= text.size(); ++cut) {
    Redactor redactor("sk-keyed");
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += cut)
      out += redactor.feed(text.substr(at, cut));
    EXPECT_EQ(out + redactor.finish(), "before sk-k[redacted] after sk-k") << cut;
  }
  Redactor none("");
  EXPECT_EQ(none.feed("all"), "all");
  Redactor none_either("k");
  EXPECT_EQ(none_either.feed("awk"), "awk");
}
TEST(GatewayRequest, HoldsNothingBackThatCannotBeTheKey) {
  Redactor redactor("sk-keyed");
  EXPECT_EQ(redactor.feed("data: {}\n\n"), "data: {}\n\n");
}

Json demo_request(const std::string& said) {
  Json request = {{"model", "demo"}, {"messages", {{{"role", "user"}, {"content", said}}}}};
  for (const char* tool : {"write", "bash", "read", "edit"}) {
    request["tools"].push_back({{"type", "function"}, {"function", {{"name", tool}}}});
  }
  return request;
}
DemoAnswer demo(const std::string& said) { return demo_answer(demo_request(said).dump()); }

TEST(GatewayDemo, TurnsCommandsIntoToolCalls) {
  const DemoAnswer create = demo("Please create hello.txt with Hello, World");
  EXPECT_EQ(create.tool, "write");
  EXPECT_EQ(Json::parse(create.arguments),
            (Json{{"path", "hello.txt"}, {"content", "Hello, World\n"}}));
  const DemoAnswer named = demo("create a file called \"my notes.md\" with the text 'a with b'");
  EXPECT_EQ(Json::parse(named.arguments),
            (Json{{"path", "my notes.md"}, {"content", "a with b\n"}}));
  EXPECT_EQ(Json::parse(demo("list all files").arguments)["command"], "ls -la");
  EXPECT_EQ(Json::parse(demo("run echo 'a b'").arguments)["command"], "echo 'a b'");
  EXPECT_EQ(Json::parse(demo("Read `hello.txt`").arguments)["path"], "hello.txt");
  const Json edit = Json::parse(demo("edit a.txt: replace one with two").arguments);
  EXPECT_EQ(edit["path"], "a.txt");
  EXPECT_EQ(edit["edits"][0], (Json{{"oldText", "one"}, {"newText", "two"}}));
}
TEST(GatewayDemo, SaysFirstThatItIsNoAi) {
  for (const char* said : {"", "hello", "list files", "think about life", "count to 3 slowly",
                           "create x with y", "run", "edit x", "count to 0"}) {
    EXPECT_TRUE(demo(said).text.starts_with("This is the scripted demo: no AI answers here."))
        << said;
  }
  EXPECT_TRUE(demo_answer("nonsense").text.starts_with("This is the scripted demo"));
}
TEST(GatewayDemo, ThinksCountsAndBoundsTheCount) {
  EXPECT_NE(demo("think about life").thinking.find("life"), std::string::npos);
  EXPECT_EQ(demo("count to 3 slowly").slow_lines.size(), 3U);
  EXPECT_EQ(demo("count to 99999999999999999999 slowly").slow_lines.size(), 300U);
}
TEST(GatewayDemo, ReportsAToolResultInAFenceThatHolds) {
  Json request = demo_request("run x");
  request["messages"].push_back(
      {{"role", "assistant"}, {"tool_calls", {{{"function", {{"name", "bash"}}}}}}});
  request["messages"].push_back({{"role", "tool"}, {"content", "a\n```\nb"}});
  const DemoAnswer answer = demo_answer(request.dump());
  EXPECT_TRUE(answer.tool.empty());
  EXPECT_NE(answer.text.find("`bash`"), std::string::npos);
  EXPECT_NE(answer.text.find("````\na\n```\nb\n````"), std::string::npos) << answer.text;
}
TEST(GatewayDemo, DoesNotCallAToolThatIsNotOffered) {
  Json request = demo_request("list files");
  request.erase("tools");
  EXPECT_TRUE(demo_answer(request.dump()).tool.empty());
}

}  // namespace
}  // namespace oqto::gateway
