#include <nlohmann/json.hpp>

#include "gateway/demo.h"

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kPieceLetters = 10;
constexpr int kPieceMs = 15;
constexpr int kSlowLineMs = 500;

// In pieces of whole UTF-8 characters.
std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> out;
  std::size_t letters = kPieceLetters;
  for (const char c : text) {
    const bool begins = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (begins && letters++ >= kPieceLetters) {
      out.emplace_back();
      letters = 1;
    }
    if (out.empty()) out.emplace_back();
    out.back() += c;
  }
  return out;
}

std::string all_text(const DemoAnswer& answer) {
  std::string text = answer.text;
  for (const std::string& line : answer.slow_lines) text += line;
  return text;
}

Json usage(const DemoAnswer& answer, std::size_t body_bytes) {
  const std::size_t in = body_bytes / 4 + 1;
  const std::size_t out =
      (answer.thinking.size() + all_text(answer).size() + answer.arguments.size()) / 4 + 1;
  return {{"prompt_tokens", in}, {"completion_tokens", out}, {"total_tokens", in + out}};
}

Json base(std::string_view id, const char* object) {
  return {{"id", id}, {"object", object}, {"created", 0}, {"model", "demo"}};
}

std::string event(const Json& json) {
  return "data: " + json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
}

class Frames {
 public:
  explicit Frames(std::string_view id) : base_(base(id, "chat.completion.chunk")) {}
  void delta(const Json& delta, int pause_ms) { add(delta, nullptr, pause_ms); }
  void finish(const char* reason) { add(Json::object(), reason, 0); }
  void usage(Json usage) {
    Json json = base_;
    json["choices"] = Json::array();
    json["usage"] = std::move(usage);
    frames_.push_back({event(json), 0});
  }
  std::vector<DemoFrame> take() {
    frames_.push_back({"data: [DONE]\n\n", 0});
    return std::move(frames_);
  }

 private:
  void add(const Json& delta, const Json& reason, int pause_ms) {
    Json json = base_;
    json["choices"] = Json::array();
    json["choices"].push_back({{"index", 0}, {"delta", delta}, {"finish_reason", reason}});
    frames_.push_back({event(json), pause_ms});
  }
  Json base_;
  std::vector<DemoFrame> frames_;
};

}  // namespace

std::vector<DemoFrame> demo_frames(const DemoAnswer& answer, std::string_view id,
                                   std::size_t body_bytes) {
  Frames frames(id);
  frames.delta({{"role", "assistant"}, {"content", ""}}, 0);
  for (const std::string& piece : pieces(answer.thinking)) {
    frames.delta({{"reasoning_content", piece}}, kPieceMs);
  }
  for (const std::string& piece : pieces(answer.text)) frames.delta({{"content", piece}}, kPieceMs);
  for (const std::string& line : answer.slow_lines) frames.delta({{"content", line}}, kSlowLineMs);
  if (!answer.tool.empty()) {
    const auto part = [&](const Json& function, bool first) {
      Json call = {{"index", 0}, {"function", function}};
      if (first) {
        call["id"] = "call_" + std::string(id);
        call["type"] = "function";
      }
      frames.delta({{"tool_calls", Json::array({call})}}, kPieceMs);
    };
    part({{"name", answer.tool}, {"arguments", ""}}, true);
    for (const std::string& piece : pieces(answer.arguments)) part({{"arguments", piece}}, false);
  }
  frames.finish(answer.tool.empty() ? "stop" : "tool_calls");
  frames.usage(usage(answer, body_bytes));
  return frames.take();
}

std::string demo_document(const DemoAnswer& answer, std::string_view id, std::size_t body_bytes) {
  Json message = {{"role", "assistant"}, {"content", all_text(answer)}};
  if (!answer.tool.empty()) {
    message["tool_calls"] =
        Json::array({{{"id", "call_" + std::string(id)},
                      {"type", "function"},
                      {"function", {{"name", answer.tool}, {"arguments", answer.arguments}}}}});
  }
  Json json = base(id, "chat.completion");
  json["choices"] = Json::array();
  json["choices"].push_back({{"index", 0},
                             {"message", message},
                             {"finish_reason", answer.tool.empty() ? "stop" : "tool_calls"}});
  json["usage"] = usage(answer, body_bytes);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace oqto::gateway
