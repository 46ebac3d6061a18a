// Driven by what the real Pi 1.5.2 wrote (testdata/, trimmed records of recorded sessions).
#include "runner/translator.h"

#include <gtest/gtest.h>

#include <fstream>

#include "runner/event_ring.h"
#include "runner/line_framer.h"

namespace oqto::runner {
namespace {

using protocol::Json;

// Writes what the translator does as short lines; deltas of one kind are joined.
class Recorder final : public TranslatorSink {
 public:
  void on_event(protocol::Event event) override {
    const Json fields = *protocol::parse_json("{" + event.fields + "}");
    if (event.name.ends_with("_delta")) {
      const std::string head = event.name.substr(7) + " " + std::string(fields.text_at("message_id")) +
                               " " + std::to_string(fields.integer_at("content_index")) + ": ";
      if (head != open_) line(head);
      open_ = head;
      lines.back() += fields.text_at("delta");
      return;
    }
    std::string text = event.name;
    for (const char* key : {"message_id", "role", "tool_call_id", "name", "output", "error", "level",
                            "message", "final_error"}) {
      const std::string_view value = fields.text_at(key);
      if (!value.empty()) text += " " + std::string(key) + "=" + std::string(value);
    }
    line(text);
  }
  void on_message(protocol::Message message) override {
    std::string text = "MESSAGE " + message.id + " " + std::string(protocol::role_name(message.role)) +
                       " " + message.stop_reason + ":";
    for (const protocol::Part& part : message.parts) {
      text += " [" + part.id + " " + part.name + part.text + part.input + "]";
    }
    line(text);
    messages.push_back(std::move(message));
  }
  void on_phase(protocol::Phase phase, std::string_view detail) override {
    line("PHASE " + std::string(protocol::phase_name(phase)) + (detail.empty() ? "" : " ") +
         std::string(detail));
  }
  void on_input_needed(protocol::InputRequest request) override {
    line("INPUT " + request.type + " " + request.title);
  }
  void on_dialog_refused(std::string_view) override { line("DIALOG REFUSED"); }
  void on_thinking_level(std::string_view level) override { line("LEVEL " + std::string(level)); }
  void on_settled() override { line("SETTLED"); }

  std::vector<std::string> lines;
  std::vector<protocol::Message> messages;

 private:
  void line(std::string text) {
    open_.clear();
    for (std::size_t at; (at = text.find('\n')) != std::string::npos;) text.replace(at, 1, "/");
    lines.push_back(std::move(text));
  }
  std::string open_;
};

struct Replay {
  Recorder sink;
  int next_id = 0;
  Translator translator{sink, [this] { return "m" + std::to_string(++next_id); }};

  explicit Replay(const std::string& name) {
    std::ifstream file(std::string(RUNNER_TESTDATA) + "/" + name + ".jsonl");
    for (std::string text; std::getline(file, text);) {
      const Json record = *protocol::parse_json(text);
      const Json* message = record.find("msg");
      if (message->text_at("type") == "response") continue;
      translator.feed(*message, static_cast<std::uint64_t>(record.integer_at("t")));
    }
    EXPECT_FALSE(sink.lines.empty()) << name;
  }
};

using Lines = std::vector<std::string>;

TEST(Translator, StreamsThinkingTextAndToolsInOrder) {
  const Replay replay("anthropic");
  EXPECT_EQ(replay.sink.lines, (Lines{
      "PHASE generating",
      "stream.message_start message_id=m1 role=assistant",
      "PHASE thinking",
      "thinking_delta m1 0: Thinking first.",
      "PHASE generating",
      "text_delta m1 1: Let me look.",
      "stream.tool_call_start message_id=m1 tool_call_id=call_1_1 name=bash",
      R"(tool_call_delta m1 2: {"command":"echo via-anthropic"})",
      "stream.tool_call_end message_id=m1 tool_call_id=call_1_1",
      R"(MESSAGE m1 assistant tool_use: [m1.0 Thinking first.] [m1.1 Let me look.] [m1.2 bash{"command":"echo via-anthropic"}])",
      "PHASE tool_running bash",
      "tool.start tool_call_id=call_1_1 name=bash",
      "tool.progress tool_call_id=call_1_1 name=bash",
      "tool.end tool_call_id=call_1_1 name=bash output=via-anthropic/",
      "PHASE generating",
      "MESSAGE m2 tool : [m2.0 bashvia-anthropic/]",
      "stream.message_start message_id=m3 role=assistant",
      "text_delta m3 0: Final: via-anthropic\n",
      "MESSAGE m3 assistant stop: [m3.0 Final: via-anthropic/]",
      "SETTLED"}));
}

TEST(Translator, KeepsParallelToolCallsApart) {
  const Replay replay("tool-call");
  Lines tools;
  for (const std::string& line : replay.sink.lines) {
    if (line.starts_with("tool.start") || line.starts_with("tool.end")) {
      tools.push_back(line.substr(0, line.find(" name=")));
    }
  }
  ASSERT_GE(tools.size(), 6U);
  EXPECT_EQ(Lines(tools.begin(), tools.begin() + 6),
            (Lines{"tool.start tool_call_id=call_1_1", "tool.end tool_call_id=call_1_1",
                   "tool.start tool_call_id=call_2_1", "tool.start tool_call_id=call_2_2",
                   "tool.end tool_call_id=call_2_1", "tool.end tool_call_id=call_2_2"}));
  EXPECT_EQ(replay.sink.lines.back(), "SETTLED");
}

TEST(Translator, GivesEachPartTheIdThatItsDeltasHad) {
  const Replay replay("tool-call");
  const protocol::Message& first = replay.sink.messages.front();
  EXPECT_EQ(first.id, "m1");
  ASSERT_EQ(first.parts.size(), 3U);
  EXPECT_EQ(first.parts[2].id, "m1.2");
  EXPECT_EQ(first.usage->input, 1324U);
  EXPECT_EQ(first.model, "mock-1");
}

TEST(Translator, EndsAnAbortedAnswerAsAborted) {
  const Replay replay("abort");
  const auto& messages = replay.sink.messages;
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0].stop_reason, "aborted");
  EXPECT_FALSE(messages[0].parts[0].text.empty());
  EXPECT_EQ(messages[1].stop_reason, "stop");
  EXPECT_EQ(messages[3].parts[0].text, "Command aborted");
  EXPECT_TRUE(messages[3].parts[0].is_error);
  EXPECT_EQ(messages[4].stop_reason, "aborted");
}

TEST(Translator, ShowsARetryAndNotTheFailedTry) {
  const Replay replay("retry");
  const Lines expected = {
      "PHASE generating", "PHASE retrying",
      R"(retry.start error=500: {"message":"boom","type":"server_error","code":null})",
      "PHASE generating", "PHASE retrying",
      R"(retry.start error=429: {"message":"slow down","type":"rate_limit_error","code":null})",
      "PHASE generating", "stream.message_start message_id=m3 role=assistant",
      "text_delta m3 0: recovered", "MESSAGE m3 assistant stop: [m3.0 recovered]", "retry.end", "SETTLED"};
  ASSERT_GE(replay.sink.lines.size(), expected.size());
  EXPECT_EQ(Lines(replay.sink.lines.begin(),
                  replay.sink.lines.begin() + static_cast<std::ptrdiff_t>(expected.size())), expected);
}

TEST(Translator, TellsAnErrorOnceWhenNoRetryIsLeft) {
  const Replay replay("provider-down");
  const auto& lines = replay.sink.lines;
  const Lines end(lines.end() - 5, lines.end());
  EXPECT_EQ(end, (Lines{"stream.message_start message_id=m4 role=assistant", "MESSAGE m4 assistant error:",
                        "agent.error error=Connection error.: connect ECONNREFUSED 127.0.0.1:8899",
                        "retry.end final_error=Connection error.: connect ECONNREFUSED 127.0.0.1:8899",
                        "SETTLED"}));
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("agent.error"); }), 1);
}

TEST(Translator, TellsTheErrorOfACancelledRetry) {
  const Replay replay("abort-retry");
  const auto& lines = replay.sink.lines;
  ASSERT_GE(lines.size(), 2U);
  EXPECT_TRUE(lines[lines.size() - 2].starts_with("agent.error error=503")) << lines[lines.size() - 2];
  EXPECT_EQ(replay.sink.messages.size(), 1U);
}

TEST(Translator, AsksAndRefusesDialogs) {
  const Replay replay("extension-ui");
  const auto& lines = replay.sink.lines;
  const auto has = [&](const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  };
  EXPECT_TRUE(has("INPUT select Dangerous command: rm -rf ./nothing-here"));
  EXPECT_TRUE(has("INPUT input Enter a value"));
  EXPECT_TRUE(has("INPUT confirm Clear session?"));
  EXPECT_TRUE(has("DIALOG REFUSED"));
  EXPECT_TRUE(
      has("notify level=warning message=a dialog of an extension was cancelled: `editor` cannot be shown here"));
  EXPECT_TRUE(has("notify level=warning message=an extension failed at turn_start: ext blew up"));
}

TEST(Translator, DoesNotRepeatWhatTheUserSaid) {
  const Replay replay("steer");
  for (const protocol::Message& message : replay.sink.messages) {
    EXPECT_NE(message.role, protocol::Role::user);
  }
  EXPECT_EQ(replay.sink.messages.size(), 6U);
}

TEST(Translator, ShowsWhatHasComeSoFarAndEndsItWhenPiDies) {
  Recorder sink;
  Translator translator(sink, [] { return std::string("m"); });
  const auto feed = [&](const char* text) { translator.feed(*protocol::parse_json(text), 0); };
  feed(R"({"type":"message_start","message":{"role":"assistant","stopReason":"pending"}})");
  feed(R"({"type":"message_update","assistantMessageEvent":{"type":"text_delta","contentIndex":0,"delta":"half an"}})");
  ASSERT_TRUE(translator.partial());
  EXPECT_EQ(translator.partial()->parts[0].text, "half an");
  EXPECT_EQ(translator.partial()->parts[0].id, "m.0");
  translator.abandon("gone");
  EXPECT_EQ(sink.lines.back(), "MESSAGE m assistant error: [m.0 half an]");
  EXPECT_FALSE(translator.partial());
}

TEST(EventRing, ReplaysWhatIsNewAndSaysWhatIsLost) {
  EventRing ring;
  EXPECT_TRUE(ring.after(0, ring.epoch()).complete);
  for (int i = 0; i < 5000; ++i) ring.add("oqto-x", 1, protocol::events::text_delta("m", "d", i));
  EXPECT_EQ(ring.last_seq(), 5000U);
  EXPECT_EQ(ring.first_seq(), 5000U - EventRing::kMaxEvents + 1);
  EXPECT_FALSE(ring.after(0, ring.epoch()).complete);
  EXPECT_EQ(ring.after(0, ring.epoch()).events.size(), EventRing::kMaxEvents);
  EXPECT_TRUE(ring.after(4998, ring.epoch()).complete);
  ASSERT_EQ(ring.after(4998, ring.epoch()).events.size(), 2U);
  EXPECT_NE(ring.after(4998, ring.epoch()).events[0]->find("\"seq\":4999,"), std::string::npos);
  EXPECT_TRUE(ring.after(5000, ring.epoch()).events.empty());
  EXPECT_FALSE(ring.after(9999, ring.epoch()).complete);
  EXPECT_FALSE(ring.after(4998, "another").complete);  // counted by another process
  EXPECT_FALSE(ring.after(4998, "").complete);
  ring.forget();
  EXPECT_EQ(ring.first_seq(), 5001U);
  EXPECT_FALSE(ring.after(10, ring.epoch()).complete);
}

TEST(EventRing, IsBoundedInBytes) {
  EventRing ring;
  for (int i = 0; i < 20; ++i) {
    ring.add("oqto-x", 1, protocol::events::text_delta("m", std::string(500'000, 'x'), 0));
  }
  std::size_t bytes = 0;
  for (const EventText& text : ring.after(0, ring.epoch()).events) bytes += text->size();
  EXPECT_LE(bytes, EventRing::kMaxBytes);
}

TEST(LineFramer, SplitsOnlyAtLineFeeds) {
  LineFramer framer(100, [](std::string_view) { return false; });
  Lines lines;
  const auto on_line = [&](std::string_view line) { lines.emplace_back(line); };
  EXPECT_TRUE(framer.feed("a\r\nb\xe2\x80\xa8", on_line));
  EXPECT_TRUE(framer.feed("c\n\nd", on_line));
  EXPECT_EQ(lines, (Lines{"a", "b\xe2\x80\xa8" "c", ""}));
  EXPECT_EQ(framer.rest(), "d");
}

TEST(LineFramer, SkipsOrRefusesALineThatIsTooLong) {
  LineFramer framer(10, [](std::string_view line) { return line.starts_with("skip"); });
  Lines lines;
  const auto on_line = [&](std::string_view line) { lines.emplace_back(line); };
  EXPECT_TRUE(framer.feed("skip this one", on_line));
  EXPECT_TRUE(framer.feed(" and its end\nnext\n", on_line));
  EXPECT_EQ(lines, (Lines{"next"}));
  EXPECT_FALSE(framer.feed("much too long", on_line));
}

}  // namespace
}  // namespace oqto::runner
