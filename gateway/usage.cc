#include "gateway/usage.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return 0;
  return std::min(found->get<std::uint64_t>(), UsageReader::kMaxTokens);
}

// Counts only grow: Anthropic repeats them, each time as a total.
void take(const Json& usage, Usage& seen) {
  if (!usage.is_object()) return;
  const std::uint64_t in = number(usage, "prompt_tokens") + number(usage, "input_tokens") +
                           number(usage, "cache_read_input_tokens") +
                           number(usage, "cache_creation_input_tokens");
  const std::uint64_t out = number(usage, "completion_tokens") + number(usage, "output_tokens");
  seen.tokens_in = std::max(seen.tokens_in, std::min(in, UsageReader::kMaxTokens));
  seen.tokens_out = std::max(seen.tokens_out, std::min(out, UsageReader::kMaxTokens));
}

void take_document(std::string_view text, Usage& seen) {
  if (text.find("\"usage\"") == std::string_view::npos) return;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return;
  if (const auto usage = json.find("usage"); usage != json.end()) take(*usage, seen);
  const auto message = json.find("message");  // Anthropic's message_start
  if (message == json.end() || !message->is_object()) return;
  if (const auto usage = message->find("usage"); usage != message->end()) take(*usage, seen);
}

}  // namespace

void UsageReader::feed(std::string_view bytes) {
  if (!sse_) {
    if (held_.size() + bytes.size() > kMaxJson) skipping_ = true;
    if (!skipping_) held_ += bytes;
    return;
  }
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (held_.size() + part.size() > kMaxLine) skipping_ = true;
    if (skipping_) {
      held_.clear();
    } else {
      held_ += part;
    }
    if (end == std::string_view::npos) return;
    if (!skipping_) line(held_);
    held_.clear();
    skipping_ = false;
    bytes.remove_prefix(end + 1);
  }
}

void UsageReader::line(std::string_view text) {
  constexpr std::string_view kData = "data:";
  if (text.starts_with(kData)) take_document(text.substr(kData.size()), seen_);
}

Usage UsageReader::usage() const {
  Usage all = seen_;
  if (!sse_ && !skipping_) take_document(held_, all);
  return all;
}

}  // namespace oqto::gateway
