#include "audit/format/json.h"
#include "audit/read/story.h"
#include "audit/read/story_words.h"

namespace oqto::audit {
namespace {

void append_scene(std::string& out, const Story& story, std::size_t at) {
  const Scene& scene = story.scenes()[at];
  const auto text = [&out](std::string_view name, std::string_view value) {
    ((out += ",\"") += name) += "\":";
    append_json(out, value);
  };
  const auto list = [&out](std::string_view name, const auto& values, auto&& append) {
    ((out += ",\"") += name) += "\":[";
    bool first = true;
    for (const auto value : values) {
      if (!first) out += ',';
      first = false;
      append(value);
    }
    out += ']';
  };
  out += R"({"index":)" + std::to_string(scene.index) + R"(,"time":)" + std::to_string(scene.time_ms);
  text("kind", scene.kind);
  text("sentence", scene.sentence);
  if (!scene.result.empty()) text("result", scene.result);
  text("mark", mark_name(scene.mark));
  if (!scene.session.empty()) text("session", scene.session);
  if (scene.duration_ms) out += R"(,"duration_ms":)" + std::to_string(*scene.duration_ms);
  list("entries", scene.entries, [&](std::uint64_t index) { out += std::to_string(index); });
  list("within", scene.within, [&](std::size_t child) { append_scene(out, story, child); });
  out += '}';
}

}  // namespace

std::string story_json(const Story& story) {
  const StoryTotals sums = story.totals();
  std::string out = R"("totals":{)";
  const auto number = [&out](std::string_view name, std::uint64_t value) {
    if (out.back() != '{') out += ',';
    ((out += '"') += name) += "\":" + std::to_string(value);
  };
  number("entries", story.entries());
  number("prompts", sums.prompts);
  number("tools", sums.tools);
  number("programs", sums.programs);
  number("files", sums.files);
  number("connections", sums.connections);
  number("questions", sums.questions);
  number("models", sums.models);
  number("tokens_in", sums.tokens_in);
  number("tokens_out", sums.tokens_out);
  number("cost_nanos", sums.cost_nanos);
  number("refused", sums.refused);
  number("failed", sums.failed);
  out += R"(},"scenes":[)";
  for (const std::size_t at : story.top()) {
    if (out.back() != '[') out += ',';
    append_scene(out, story, at);
  }
  return out + "]";
}

std::string totals_text(const StoryTotals& sums) {
  std::string text;
  const auto add = [&text](std::uint64_t count, std::string_view one, std::string_view many) {
    if (count == 0) return;
    text += (text.empty() ? "" : ", ") + grouped(count) + " " + std::string(count == 1 ? one : many);
  };
  add(sums.prompts, "prompt", "prompts");
  add(sums.tools, "tool call", "tool calls");
  add(sums.programs, "program", "programs");
  add(sums.files, "file record", "file records");
  add(sums.connections, "connection", "connections");
  add(sums.questions, "question or answer", "questions and answers");
  add(sums.models, "model call", "model calls");
  if (sums.tokens_in + sums.tokens_out > 0) {
    text += " (" + grouped(sums.tokens_in) + " tokens in, " + grouped(sums.tokens_out) + " out)";
  }
  add(sums.refused, "refusal", "refusals");
  add(sums.failed, "failure", "failures");
  return text.empty() ? "nothing that anybody asked for" : text;
}

std::string lasted_text(std::uint64_t ms) {
  constexpr std::uint64_t kSecond = 1000, kMinute = 60 * kSecond;
  if (ms < kSecond) return std::to_string(ms) + " ms";
  if (ms < kMinute) return std::to_string(ms / kSecond) + "." + std::to_string(ms % kSecond / 100) + " s";
  return std::to_string(ms / kMinute) + " min " + std::to_string(ms % kMinute / kSecond) + " s";
}

}  // namespace oqto::audit
