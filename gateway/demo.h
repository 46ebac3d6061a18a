// The script of the demo: a fixed answer for each request, no AI. It speaks the OpenAI shape and
// asks the harness for real tool calls.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace oqto::gateway {

constexpr int kMaxCount = 300;

struct DemoAnswer {
  std::string thinking;   // may be empty
  std::string text;       // begins with the sentence that this is no AI
  std::vector<std::string> slow_lines;  // after the text, one at a time
  std::string tool;       // empty: no tool call
  std::string arguments;  // JSON text
};

// `body` is a Chat Completions request.
DemoAnswer demo_answer(std::string_view body);

struct DemoFrame {
  std::string sse;     // one event
  int pause_ms = 0;    // after it
};
// The answer as the events of a stream, small enough to look alive. `id` names the answer.
std::vector<DemoFrame> demo_frames(const DemoAnswer& answer, std::string_view id,
                                   std::size_t body_bytes);
// The same as one JSON answer.
std::string demo_document(const DemoAnswer& answer, std::string_view id, std::size_t body_bytes);

}  // namespace oqto::gateway
