#include <gtest/gtest.h>

#include "protocol/command.h"
#include "protocol/event.h"
#include "protocol/json.h"
#include "protocol/json_writer.h"
#include "protocol/message.h"
#include "protocol/surrogates.h"

namespace oqto::protocol {
namespace {

constexpr std::string_view kSession = "oqto-0f8fad5b-d9cb-469f-a165-70867728950e";

std::string framed(std::string_view fields) {
  return R"({"channel":"agent","id":"r1","session_id":")" + std::string(kSession) + "\"," +
         std::string(fields) + "}";
}

TEST(Json, BoundsDepthAndCount) {
  EXPECT_TRUE(parse_json(std::string(60, '[') + std::string(60, ']')));
  const auto deep = parse_json(std::string(100'000, '['));
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.error().code, Errc::limit);
  std::string many = "[0";
  for (int i = 0; i < 200'000; ++i) many += ",0";
  EXPECT_EQ(parse_json(many + "]").error().code, Errc::limit);
}

TEST(Json, KeepsValuesThroughDump) {
  const std::string text = R"({"a":[1,-2,2.5,true,null,"x\"\n\u0001"],"b":{"c":"ü😀"}})";
  EXPECT_EQ(parse_json(text)->dump(), text);
}

TEST(Json, TurnsHalfASurrogatePairIntoTheReplacementCharacter) {
  EXPECT_EQ(*parse_json(R"("a\ud83d")")->text(), "a\xef\xbf\xbd");
  EXPECT_EQ(*parse_json(R"("\ude00b")")->text(), "\xef\xbf\xbd" "b");
  EXPECT_EQ(*parse_json(R"("\ud83d\ude00")")->text(), "😀");
  EXPECT_EQ(*parse_json(R"("\\ud83d")")->text(), "\\ud83d");
}

TEST(JsonWriter, RepairsInvalidUtf8AndCutsOnCharacters) {
  std::string out;
  append_json_text(out, "a\xff" "b\xe2\x82");
  EXPECT_EQ(out, "\"a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(cut_text("aü", 2), "a");
  EXPECT_EQ(cut_text("aü", 3), "aü");
}

struct Bad {
  std::string fields;
  Code code;
  std::string says;
};

TEST(Command, AnswersEachBadInputWithOneClearError) {
  const Bad table[] = {
      {R"("cmd":"no.such")", Code::bad_request, "unknown command `no.such`"},
      {R"("cmd":"prompt")", Code::bad_request, "field `message` is missing"},
      {R"("cmd":"prompt","message":null)", Code::bad_request, "field `message` is missing"},
      {R"("cmd":"prompt","message":7)", Code::bad_request, "field `message` must be text"},
      {R"("cmd":"prompt","message":" \n ")", Code::bad_request, "field `message` is empty"},
      {R"("cmd":"prompt","message":")" + std::string(kMaxPromptBytes + 1, 'x') + '"', Code::limit,
       "field `message` is longer than 1048576 bytes"},
      {R"("cmd":"prompt","message":"x","images":"zzz")", Code::bad_request,
       "field `images` must be an array"},
      {R"("cmd":"prompt","message":"x","images":[7])", Code::bad_request, "field `data` is missing"},
      {R"("cmd":"prompt","message":"x","images":[{"data":"AA!=","media_type":"image/png"}])",
       Code::bad_request, "field `data` must be base64"},
      {R"("cmd":"prompt","message":"x","images":[{"data":"AAAA","media_type":"text/html"}])",
       Code::bad_request, "field `media_type` must be an image type"},
      {R"("cmd":"set_session_name","name":"a\u0007")", Code::bad_request,
       "field `name` must be 1 to 64 printable characters"},
      {R"("cmd":"session.create")", Code::bad_request, "field `config` is missing"},
      {R"("cmd":"session.create","config":[])", Code::bad_request, "field `config` must be an object"},
      {R"("cmd":"session.create","config":{"harness":"sh"})", Code::bad_request,
       "field `harness` must be \"pi\""},
      {R"("cmd":"session.create","config":{"harness":"pi","provider":"-e","model":"x"})",
       Code::bad_request, "field `model` must not begin with -"},
      {R"("cmd":"session.subscribe","since_seq":-1)", Code::bad_request,
       "field `since_seq` must be a whole number from 0 to 9007199254740992"},
      {R"("cmd":"get_messages","limit":201)", Code::bad_request,
       "field `limit` must be a whole number from 0 to 200"},
      {R"("cmd":"input_response","request_id":"x")", Code::bad_request,
       "field `value` or `confirmed` or `cancelled`: exactly one of them is needed"},
      {R"("cmd":"input_response","request_id":"x","confirmed":"yes")", Code::bad_request,
       "field `confirmed` must be true or false"},
      {R"("cmd":"set_thinking_level","level":"bogus")", Code::bad_request,
       "field `level` must be off, minimal, low, medium, high, xhigh or max"},
      {R"("cmd":"list_sessions")", Code::bad_request, "`list_sessions` needs session_id \"_system\""},
  };
  for (const Bad& row : table) {
    const Frame frame = decode_frame(framed(row.fields));
    const auto* bad = std::get_if<BadCommand>(&frame);
    ASSERT_NE(bad, nullptr) << row.says;
    EXPECT_EQ(bad->failure.error, row.says);
    EXPECT_EQ(bad->failure.code, row.code) << row.says;
    EXPECT_EQ(bad->head.id, "r1");
  }
}

TEST(Command, RefusesASessionIdThatIsNoSessionId) {
  for (const char* id : {"", "_system", "oqto-", "oqto-../../etc", "oqto-0F8FAD5B-D9CB-469F-A165-70867728950E",
                         "oqto-0f8fad5b-d9cb-169f-a165-70867728950e"}) {
    const Frame frame = decode_frame(R"({"channel":"agent","id":"r","cmd":"abort","session_id":")" +
                                     std::string(id) + "\"}");
    const auto* bad = std::get_if<BadCommand>(&frame);
    ASSERT_NE(bad, nullptr) << id;
    EXPECT_EQ(bad->failure.code, Code::bad_request);
  }
}

TEST(Command, TellsABadFrameFromABadCommand) {
  for (const char* text : {"null", "[]", "42", "\"s\"", "{", "", "{}", R"({"channel":5})",
                           R"({"channel":"nope"})", R"({"channel":"agent"})", R"({"channel":"agent","cmd":1})",
                           R"({"channel":"agent","id":true,"cmd":"abort","session_id":"_system"})"}) {
    EXPECT_TRUE(std::holds_alternative<BadFrame>(decode_frame(text))) << text;
  }
  const Frame reserved = decode_frame(R"({"channel":"files","id":"f1","type":"tree"})");
  ASSERT_TRUE(std::holds_alternative<ReservedChannel>(reserved));
  EXPECT_EQ(encode_reserved(std::get<ReservedChannel>(reserved)),
            R"({"channel":"files","type":"error","id":"f1","error":"not available yet: the channel `files`"})");
}

TEST(Command, DecodesAPromptWithAnImage) {
  const Frame frame = decode_frame(framed(
      R"("cmd":"prompt","message":"look","client_id":"c","images":[{"data":"AAAA","media_type":"image/png"}])"));
  const auto& command = std::get<Command>(frame);
  const auto& prompt = std::get<Prompt>(command.args);
  EXPECT_EQ(command.cmd, Cmd::prompt);
  EXPECT_EQ(prompt.message, "look");
  EXPECT_EQ(prompt.client_id, "c");
  ASSERT_EQ(prompt.images.size(), 1U);
  EXPECT_FALSE(command.is_read());
}

TEST(Command, KnowsTheNamesThatAreNotBuilt) {
  const Frame frame = decode_frame(framed(R"("cmd":"session.switch")"));
  EXPECT_EQ(std::get<Command>(frame).cmd, Cmd::not_built);
}

Message sample() {
  Message message{.id = "msg_1", .idx = 3, .role = Role::assistant, .created_at = 12};
  message.parts.push_back({.type = Part::Type::thinking, .id = "p0", .text = "hm"});
  message.parts.push_back({.type = Part::Type::tool_call, .id = "p1", .tool_call_id = "c1",
                           .name = "bash", .input = R"({"command":"ls"})"});
  message.parts.push_back({.type = Part::Type::tool_result, .id = "p2", .text = "out", .tool_call_id = "c1",
                           .name = "bash", .is_error = true, .duration_ms = 7});
  message.stop_reason = "tool_use";
  message.usage = Usage{1, 2, 3, 4, 0.5};
  return message;
}

TEST(Message, IsSpelledAsDocumented) {
  EXPECT_EQ(
      encode_message(sample()),
      R"({"id":"msg_1","idx":3,"role":"assistant","parts":[{"type":"thinking","id":"p0","text":"hm"},)"
      R"({"type":"tool_call","id":"p1","toolCallId":"c1","name":"bash","input":{"command":"ls"}},)"
      R"({"type":"tool_result","id":"p2","toolCallId":"c1","name":"bash","output":"out","isError":true,"durationMs":7}],)"
      R"("created_at":12,"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2,)"
      R"("cache_read_tokens":3,"cache_write_tokens":4,"cost_usd":0.5}})");
}

TEST(Message, ComesBackFromStorageAsItWas) {
  const Message message = sample();
  EXPECT_EQ(*decode_parts(encode_parts(message.parts)), message.parts);
  Message again = {.id = "msg_1", .idx = 3, .role = Role::assistant, .parts = message.parts, .created_at = 12};
  ASSERT_TRUE(decode_metadata(encode_metadata(message), again));
  EXPECT_EQ(encode_message(again), encode_message(message));
}

TEST(Message, NeverExceedsTheFrame) {
  Message message = sample();
  message.parts.push_back({.type = Part::Type::image, .id = "p3", .data = std::string(4'000'000, 'A'),
                           .mime_type = "image/png"});
  message.parts.push_back({.type = Part::Type::text, .id = "p4", .text = std::string(3'000'000, '\n')});
  const std::string text = encode_message_within(message, kMaxMessageFrame);
  EXPECT_LE(text.size(), kMaxMessageFrame);
  EXPECT_NE(text.find(R"("cut":{"bytes":4000000})"), std::string::npos);
  EXPECT_NE(text.find(R"("cut":{"bytes":3000000})"), std::string::npos);
  EXPECT_TRUE(parse_json(text));
}

TEST(Message, TooLongForStorageIsCutAndKeptWhole) {
  Message message = sample();
  message.parts.push_back({.type = Part::Type::text, .id = "p3", .text = std::string(8'000'000, '\x01')});
  message.parts.push_back(
      {.type = Part::Type::tool_call, .id = "p4", .input = '"' + std::string(3'000'000, 'x') + '"'});
  cut_for_storage(message);
  EXPECT_LE(encode_parts(message.parts).size() + plain_text(message).size(), kMaxStoredMessage);
  ASSERT_EQ(message.wholes.size(), 2U);
  EXPECT_EQ(message.wholes[0].bytes.size(), 8'000'000U);
  EXPECT_EQ(message.wholes[1].bytes.size(), 3'000'002U);
  EXPECT_EQ(message.parts[3].whole_bytes, 8'000'000U);
  EXPECT_TRUE(parse_json(message.parts[4].input)) << "an input stays JSON";
  EXPECT_EQ(*decode_parts(encode_parts(message.parts)), message.parts);
  const auto once = message.parts;
  cut_for_storage(message);  // again changes nothing
  EXPECT_EQ(message.parts, once);
  EXPECT_EQ(message.wholes.size(), 2U);
}

TEST(Json, WhatIsTooDeepBecomesATextThatHoldsIt) {
  std::string deep = "1";
  for (int i = 0; i < 5000; ++i) deep = i % 2 == 0 ? "[" + deep + ",\"a\\\"b\"]" : "{\"k\":" + deep + ",\"l\":null}";
  const std::string text = R"({"type":"x","args":)" + deep + R"(,"after":true})";
  EXPECT_FALSE(parse_json(text));
  const auto json = parse_json(text, {.depth = 10, .values = 1000, .deep_as_text = true});
  ASSERT_TRUE(json);
  EXPECT_TRUE(json->boolean_at("after"));
  const Json* inner = json->find("args");
  for (int i = 0; inner != nullptr && inner->text() == nullptr && i < 20; ++i) {
    inner = inner->object() != nullptr ? inner->find("k") : &inner->array()->front();
  }
  ASSERT_NE(inner, nullptr);
  ASSERT_NE(inner->text(), nullptr);
  EXPECT_NE(deep.find(*inner->text()), std::string::npos) << "nothing of it was lost or changed";
}

TEST(Surrogates, APairThatAStreamHasCutIsPutTogether) {
  const auto delta = [](const char* text) {
    return std::string(parse_json(text, {.keep_halves = true})->text_at("d"));
  };
  SurrogateJoiner joiner;
  EXPECT_EQ(joiner.feed(delta(R"({"d":"A\ud83d"})")), "A");
  EXPECT_EQ(joiner.feed(delta(R"({"d":"\ude00B"})")), "\U0001F600B");
  EXPECT_EQ(joiner.feed(delta(R"({"d":"\ude00"})")), "\ufffd");  // nothing before it
  EXPECT_EQ(joiner.feed(delta(R"({"d":"\ud83dx"})")), "\ufffdx");
  EXPECT_EQ(joiner.feed(delta(R"({"d":"\ud83d"})")), "");
  EXPECT_EQ(joiner.finish(), "\ufffd");
  EXPECT_EQ(parse_json(R"({"d":"A\ud83d"})")->text_at("d"), "A\ufffd");
}

TEST(Command, APromptOfWhatNobodySeesIsBlank) {
  for (const char* text : {"\u3000", "\u200b", "\u00a0 \u2028", "\ufeff", "\u2060 "}) {
    const Frame frame = decode_frame(framed("\"cmd\":\"prompt\",\"message\":\"" + std::string(text) + "\""));
    EXPECT_TRUE(std::holds_alternative<BadCommand>(frame)) << text;
  }
  EXPECT_TRUE(std::holds_alternative<Command>(decode_frame(framed(R"("cmd":"prompt","message":"\u3000a")"))));
}

std::string recorded_of(const std::string& text) {
  const Frame frame = decode_frame(text);
  const auto* command = std::get_if<Command>(&frame);
  EXPECT_NE(command, nullptr) << text.substr(0, 200);
  return command == nullptr ? "" : command->recorded;
}

TEST(Command, IsRecordedAsItCameUnlessItHoldsMoreThanItsFields) {
  EXPECT_EQ(recorded_of(R"({"channel":"agent","id":"1","cmd":"list_sessions","session_id":"_system"})"), "");
  EXPECT_EQ(recorded_of(framed(R"("cmd":"prompt","message":"hi","client_id":"c","images":[])")), "");
  EXPECT_EQ(recorded_of(framed(R"("cmd":"prompt","message":")" + std::string(9000, 'x') + "\"")), "");
}

TEST(Command, AttackPaddingIsNotRecorded) {
  const std::string pad(12'000, 'x');
  const std::string system = R"({"channel":"agent","id":"1","cmd":"list_sessions","session_id":"_system")";
  const std::string counted = system + R"(,"unknown_fields":2})";
  EXPECT_EQ(recorded_of(system + R"(,"pad":")" + pad + R"(","more":{"a":[1,2]}})"), counted);
  EXPECT_EQ(recorded_of(system + std::string(12'000, ' ') + "}"), system + "}") << "blanks";
  std::string many = system;
  for (int i = 0; i < 500; ++i) many += R"(,"cmd":"list_sessions")";
  EXPECT_EQ(recorded_of(many + "}").find("list_sessions"), recorded_of(many + "}").rfind("list_sessions")) << "the same field again and again";
  EXPECT_LT(recorded_of(R"({"channel":"agent","cmd":"get_commands","session_id":"_system","pad":")" + pad + "\"}").size(), 200U)
      << "a command that is not built";
  const std::string created = recorded_of(
      R"({"channel":"agent","cmd":"session.create","session_id":"","config":{"harness":"pi","workspace_id":"w","pad":")" + pad +
      R"(","profile":"minimal"}})");
  EXPECT_LT(created.size(), 300U);
  EXPECT_NE(created.find(R"("workspace_id":"w")"), std::string::npos) << created;
  const std::string prompted = recorded_of(framed(R"("cmd":"prompt","message":"rm -rf","pad":")" + pad + "\""));
  EXPECT_NE(prompted.find(R"("message":"rm -rf")"), std::string::npos) << "what is acted on is recorded in full";
  EXPECT_LT(prompted.size(), 300U);
}

TEST(Command, AttackNobodyForgesTheCountOfWhatWasLeftOut) {
  const std::string text = recorded_of(
      R"({"channel":"agent","cmd":"list_sessions","session_id":"_system","unknown_fields":0,"a":1})");
  EXPECT_EQ(text, R"({"channel":"agent","cmd":"list_sessions","session_id":"_system","unknown_fields":2})");
}

TEST(Command, ANumberAsIdComesBackAsANumber) {
  const Frame frame = decode_frame(R"({"channel":"agent","id":7,"cmd":"nope","session_id":"_system"})");
  const auto& bad = std::get<BadCommand>(frame);
  EXPECT_NE(encode_failure(bad.head, bad.failure).find(R"("id":7,)"), std::string::npos);
}

TEST(Event, CarriesTheEnvelopeOnce) {
  EXPECT_EQ(encode_event(kSession, {"e", 4, 99}, events::text_delta("msg_1", "a\"b", 1)),
            R"({"channel":"agent","session_id":"oqto-0f8fad5b-d9cb-469f-a165-70867728950e","runner_id":"local",)"
            R"("ts":99,"epoch":"e","seq":4,"event":"stream.text_delta","message_id":"msg_1","delta":"a\"b","content_index":1})");
  EXPECT_EQ(encode_failure({"r", "_system", "x"}, {Code::limit, "too much"}),
            R"({"channel":"agent","event":"response","session_id":"_system","id":"r","cmd":"x","success":false,)"
            R"("error":"too much","code":"limit"})");
}

}  // namespace
}  // namespace oqto::protocol
