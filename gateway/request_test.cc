// What of a request reaches a provider: nothing that makes it fetch, run or remember something for a session, in
// whatever shape, place or spelling that is asked for.
#include "gateway/request.h"

#include <gtest/gtest.h>

#include "gateway/json_tree.h"
#include "gateway/request_rules.h"

namespace oqto::gateway {
namespace {

using policies::Fetch;
using policies::fetch_bit;

CheckedBody passed(ProviderKind kind, const std::string& members, policies::FetchSet allowed = 0) {
  const auto checked = check_body(R"({"model":"m",)" + members + "}", {kind, allowed});
  EXPECT_TRUE(checked) << members << (checked ? "" : checked.error());
  return checked.value_or(CheckedBody{});
}
CheckedBody openai(const std::string& members, policies::FetchSet allowed = 0) {
  return passed(ProviderKind::openai, members, allowed);
}
CheckedBody anthropic(const std::string& members, policies::FetchSet allowed = 0) {
  return passed(ProviderKind::anthropic, members, allowed);
}
std::string said(const CheckedBody& body) {
  std::string out;
  for (const Removed& one : body.removed) {
    out += one.capability + ' ' + one.member + (one.host.empty() ? "" : ' ' + one.host) +
           (one.count > 1 ? " x" + std::to_string(one.count) : "") + ';';
  }
  return out;
}
std::string user(const std::string& part) { return R"("messages":[{"role":"user","content":[)" + part + "]}]"; }

TEST(GatewayRequest, ReadsTheModelOnceOrRefuses) {
  const BodyRules rules{ProviderKind::openai, 0};
  const auto good = check_body(R"({"messages":[],"model":"m","stream":true})", rules);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->model, "m");
  EXPECT_TRUE(good->stream);
  for (const char* bad :
       {"", "[]", "{}", R"({"model":1})", R"({"model":["m"]})", R"({"model":"m","model":"n"})",
        R"({"model":"m","\u006dodel":"n"})", R"({"model":"m"} {"model":"n"})",
        R"({"model":"m","stream":"yes"})", R"({"model":"m","stream":true,"stream":false})",
        "{\"model\":\"\xff\"}", "{\"model\":\"m\",\"user\":\"\\ud800\"}"}) {
    EXPECT_FALSE(check_body(bad, rules)) << bad;
  }
  // Attack: a provider that ignores case would take the second one.
  EXPECT_FALSE(check_body(R"({"model":"cheap","MODEL":"dear"})", rules));
  EXPECT_FALSE(check_body(R"({"model":"m","stream":false,"Stream":true})", rules));
  EXPECT_FALSE(check_body(R"({"Model":"m"})", rules));
}

TEST(GatewayRequest, AttackBracketsAndValuesWithoutEndAreRefusedBeforeTheyTakeMemory) {
  const BodyRules rules{ProviderKind::openai, 0};
  const auto error = [&](const std::string& body) { return check_body(body, rules).error(); };
  EXPECT_EQ(error(std::string(1 << 20, '[')), "the body is nested too deeply");
  std::string flat = R"({"model":"m","x":[0)";
  for (std::size_t i = 0; i < kMaxJsonValues; ++i) flat += ",0";
  EXPECT_EQ(error(flat + "]}"), "the body has too many values");
  std::string wide = R"({"model":"m")";
  for (std::size_t i = 0; i < kMaxJsonValues; ++i) wide += ",\"" + std::to_string(i) + "\":0";
  EXPECT_EQ(error(wide + "}"), "the body has too many values");
  EXPECT_EQ(error(R"({"model":"m","a":{"b":1,"\u0062":2}})"), "the body names a member twice");
}

TEST(GatewayRequest, PassesWhatAHarnessSendsUnchanged) {
  const std::string chat =
      R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[)"
      R"({"type":"text","text":"see https://a.test/b"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},)"
      R"({"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},)"
      R"({"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}}]},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"bash",)"
      R"("arguments":"{\"command\":\"curl https://a.test\"}"}}],"reasoning_content":"r"},)"
      R"({"role":"tool","tool_call_id":"1","content":"out"}],"stream":true,"stream_options":{"include_usage":true},)"
      R"("store":false,"max_completion_tokens":100,"temperature":0.7,"tools":[{"type":"function","function":{"name":"bash",)"
      R"("description":"d","parameters":{"type":"object","properties":{"url":{"type":"string","format":"uri"},)"
      R"("$ref":{"type":"string"},"a":{"$ref":"#/x"}}},"strict":false}}],"tool_choice":"auto"})";
  const auto openai_body = check_body(chat, {ProviderKind::openai, 0});
  ASSERT_TRUE(openai_body);
  EXPECT_EQ(openai_body->text, chat);
  EXPECT_EQ(said(*openai_body), "");
  const std::string messages =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"t","cache_control":{"type":"ephemeral"}},)"
      R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}},)"
      R"({"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}}]},)"
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"s"},)"
      R"({"type":"tool_use","id":"1","name":"bash","input":{"url":"https://a.test","type":"url"}}]},)"
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"o"}],"is_error":false}]}],)"
      R"("system":[{"type":"text","text":"s"}],"max_tokens":9,"thinking":{"type":"enabled","budget_tokens":5},)"
      R"("tools":[{"name":"bash","description":"d","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"b"}],)"
      R"("tool_choice":{"type":"tool","name":"bash"}})";
  const auto anthropic_body = check_body(messages, {ProviderKind::anthropic, 0});
  ASSERT_TRUE(anthropic_body);
  EXPECT_EQ(anthropic_body->text, messages);
  EXPECT_EQ(said(*anthropic_body), "");
}

TEST(GatewayRequest, AttackToolsThatTheProviderCarriesOutAreRemovedInBothShapes) {
  struct Tool {
    const char *json, *capability;
  };
  for (const Tool& tool :
       {Tool{R"({"type":"web_search_20250305","name":"web_search"})", "web_search"},
        {R"({"type":"web_fetch_20250910","name":"web_fetch"})", "web_fetch"},
        {R"({"type":"code_execution_20250825","name":"code_execution"})", "code_execution"},
        {R"({"type":"mcp_toolset","mcp_server_name":"x"})", "mcp"},
        {R"({"type":"tool_of_tomorrow_20270101","name":"bash"})", "unknown"},
        {R"({"type":["custom"],"name":"bash"})", "unknown"},
        {R"({"\u0074ype":"web_search_20250305","name":"w"})", "web_search"},
        {R"({"type":"bash_20250124x","name":"bash"})", "unknown"}}) {
    EXPECT_EQ(said(anthropic(R"("tools":[)" + std::string(tool.json) + "]")),
              std::string(tool.capability) + " tools[0];") << tool.json;
  }
  for (const Tool& tool : {Tool{R"({"type":"web_search"})", "web_search"},
                           {R"({"type":"web_search_preview_2025_03_11"})", "web_search"},
                           {R"({"type":"builtin_function","function":{"name":"$web_search"}})", "unknown"},
                           {R"({"type":"code_interpreter","container":{"type":"auto"}})", "code_execution"},
                           {R"({"type":"file_search","vector_store_ids":["v"]})", "stored"},
                           {R"({"Type":"function","function":{"name":"f"}})", "unknown"},
                           {R"({"name":"f","parameters":{}})", "unknown"}}) {
    const CheckedBody body = openai(R"("tools":[)" + std::string(tool.json) + R"(],"tool_choice":"required")");
    EXPECT_EQ(said(body), std::string(tool.capability) + " tools[0];") << tool.json;
    EXPECT_EQ(body.text, R"({"model":"m"})");
  }
  EXPECT_EQ(said(openai(R"("tools":[{"type":"mcp","server_url":"https://u@evil.test:8/x"}])")),
            "mcp tools[0] evil.test:8;");
}

TEST(GatewayRequest, AChoiceThatNamesARemovedToolBecomesAuto) {
  const std::string own = R"({"type":"function","function":{"name":"f"}})";
  const auto chosen = [&](const std::string& choice) {
    return openai(R"("tools":[)" + own + R"(,{"type":"web_search"}],"tool_choice":)" + choice).text;
  };
  const std::string with = R"({"model":"m","tools":[)" + own + R"(],"tool_choice":)";
  EXPECT_EQ(chosen(R"({"type":"web_search"})"), with + R"("auto"})");
  EXPECT_EQ(chosen(R"({"type":"function","function":{"name":"g"}})"), with + R"("auto"})");
  EXPECT_EQ(chosen(R"({"type":"function","function":{"name":"f"}})"),
            with + R"({"type":"function","function":{"name":"f"}}})");
  EXPECT_EQ(chosen(R"("required")"), with + R"("required"})");
  EXPECT_EQ(openai(R"("tools":[)" + own + R"(],"tool_choice":{"type":"web_search"})").text, with + R"("auto"})");
  EXPECT_EQ(anthropic(R"("tools":[{"name":"f"},{"type":"web_search_20250305","name":"w"}],"tool_choice":{"type":"tool","name":"w"})").text,
            R"({"model":"m","tools":[{"name":"f"}],"tool_choice":{"type":"auto"}})");
}

TEST(GatewayRequest, AttackAddressesInMessagesAreReplacedWhereverTheyStand) {
  struct Part {
    const char *json, *removed;
  };
  for (const Part& part :
       {Part{R"({"type":"image_url","image_url":{"url":"https://evil.test/x"}})", "image_url messages[0].content[0].image_url evil.test;"},
        {R"({"type":"image_url","image_url":"http://evil.test/x"})", "image_url messages[0].content[0].image_url evil.test;"},
        {R"({"type":"image_url","image_url":{"url":" data:x"}})", "image_url messages[0].content[0].image_url;"},
        {R"({"type":"image_url","image_url":{"url":"file:///etc/passwd"}})", "image_url messages[0].content[0].image_url;"},
        {R"({"type":"image_url","image_url":{"url":["https://evil.test"]}})", "image_url messages[0].content[0].image_url;"},
        {R"({"type":"video_url","video_url":{"url":"gs://b/o"}})", "image_url messages[0].content[0].video_url b;"},
        {R"({"type":"input_audio","input_audio":{"data":"https://evil.test/a.wav"}})", "image_url messages[0].content[0].input_audio evil.test;"},
        {R"({"type":"file","file":{"file_id":"file-1"}})", "stored messages[0].content[0].file.file_id;"},
        {R"({"type":"file","file":{"file_data":"https://evil.test/a"}})", "file_url messages[0].content[0].file.file_data evil.test;"},
        {R"({"type":"input_image","image_url":"https://evil.test"})", "unknown messages[0].content[0] evil.test;"},
        {R"({"image_url":"https://evil.test"})", "unknown messages[0].content[0] evil.test;"},
        {R"({"type":"text","text":{"url":"https://evil.test"}})", "unknown messages[0].content[0].text evil.test;"}}) {
    const CheckedBody body = openai(user(part.json));
    EXPECT_EQ(said(body), part.removed) << part.json;
    EXPECT_NE(body.text.find(R"({"type":"text","text":"[removed: )"), std::string::npos) << body.text;
    EXPECT_EQ(body.text.find("evil.test"), std::string::npos) << body.text;
  }
  const CheckedBody beside = openai(user(R"({"type":"text","text":"t","image_url":"https://evil.test"})"));
  EXPECT_EQ(beside.text, R"({"model":"m",)" + user(R"({"type":"text","text":"t"})") + "}");
  for (const Part& part :
       {Part{R"({"type":"image","source":{"type":"url","url":"https://evil.test/x"}})", "image_url messages[0].content[0].source evil.test;"},
        {R"({"type":"document","source":{"type":"url","url":"https://evil.test/x"}})", "file_url messages[0].content[0].source evil.test;"},
        {R"({"type":"document","source":{"type":"file","file_id":"f"}})", "stored messages[0].content[0].source;"},
        {R"({"type":"image","source":{"type":"s3","url":"s3://b/k"}})", "unknown messages[0].content[0].source b;"},
        {R"({"type":"container_upload","file_id":"f"})", "stored messages[0].content[0];"},
        {R"({"type":"server_tool_use","id":"1","name":"web_fetch","input":{"url":"https://evil.test"}})", "web_fetch messages[0].content[0];"},
        {R"({"type":"tool_result","tool_use_id":"1","content":[{"type":"image","source":{"type":"url","url":"https://evil.test"}}]})",
         "image_url messages[0].content[0].content[0].source evil.test;"},
        {R"({"type":"document","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"https://evil.test"}}]}})",
         "image_url messages[0].content[0].source.content[0].source evil.test;"}}) {
    const CheckedBody body = anthropic(user(part.json));
    EXPECT_EQ(said(body), part.removed) << part.json;
    EXPECT_EQ(body.text.find("evil.test"), std::string::npos) << body.text;
  }
  EXPECT_EQ(said(anthropic(R"("system":[{"type":"image","source":{"type":"url","url":"https://evil.test"}}])")),
            "image_url system[0].source evil.test;");
}

TEST(GatewayRequest, AttackOtherMembersThatCarrySuchThingsAreRemoved) {
  EXPECT_EQ(said(openai(R"("web_search_options":{},"plugins":[{"id":"web"}])")),
            "web_search web_search_options x2;");
  EXPECT_EQ(said(openai(R"("search_parameters":{"mode":"on"})")), "web_search search_parameters;");
  EXPECT_EQ(said(openai(R"("previous_response_id":"r","store":true)")), "stored previous_response_id x2;");
  EXPECT_EQ(said(openai(R"("models":["dear"],"extra_body":{"u":"https://evil.test"})")),
            "unknown models;unknown extra_body evil.test;");
  EXPECT_EQ(said(openai(R"("chat_template_kwargs":{"enable_thinking":true,"documents":[{"u":1}]})")),
            "unknown chat_template_kwargs.documents;");
  EXPECT_EQ(openai(R"("Tools":[{"type":"web_search"}])").text, R"({"model":"m"})");
  EXPECT_EQ(said(anthropic(R"("mcp_servers":[{"type":"url","url":"https://evil.test/mcp"}],"container":"c")")),
            "mcp mcp_servers evil.test;code_execution container;");
  EXPECT_EQ(said(openai(R"("messages":[{"role":"assistant","content":"","audio":{"id":"a"}}])")),
            "unknown messages[0].audio;");
  EXPECT_EQ(said(openai(R"("tools":[{"type":"function","function":{"name":"f","parameters":{"$ref":"https://evil.test/s"}}}])")),
            "file_url tools[0].$ref evil.test;");
  EXPECT_EQ(said(openai(R"("messages":{"url":"https://evil.test"})")), "unknown messages evil.test;");
}

TEST(GatewayRequest, PassesWhatThePolicyAllowsAndNothingBeside) {
  const std::string image = user(R"({"type":"image_url","image_url":{"url":"https://a.test/x"}})");
  EXPECT_EQ(openai(image, fetch_bit(Fetch::image_url)).text, R"({"model":"m",)" + image + "}");
  EXPECT_NE(said(openai(user(R"({"type":"image_url","image_url":{"url":"file:///x"}})"), policies::kEveryFetch)), "");
  const std::string tools = R"("tools":[{"type":"web_search_20250305","name":"web_search"}])";
  EXPECT_EQ(anthropic(tools, fetch_bit(Fetch::web_search)).text, R"({"model":"m",)" + tools + "}");
  EXPECT_NE(said(anthropic(tools, policies::kEveryFetch & ~fetch_bit(Fetch::web_search))), "");
  EXPECT_EQ(said(anthropic(R"("tools":[{"type":"tool_of_tomorrow","name":"x"}])", policies::kEveryFetch)), "unknown tools[0];");
}

TEST(GatewayRequest, TellsOfManyRemovalsInFewRecords) {
  std::string parts;
  for (int i = 0; i < 200; ++i) {
    parts += (i == 0 ? "" : ",") + std::string(R"({"type":"image_url","image_url":"https://h)") + std::to_string(i) + R"(.test"})";
  }
  const CheckedBody body = openai(user(parts));
  ASSERT_EQ(body.removed.size(), 33U);
  EXPECT_EQ(body.removed.back().capability, "more");
  EXPECT_EQ(body.removed.back().count, 200U - 32);
}

}  // namespace
}  // namespace oqto::gateway
