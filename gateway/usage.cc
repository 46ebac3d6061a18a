#include "gateway/usage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace oqto::gateway {
namespace {

using Json = nlohmann::json;

std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return 0;
  return std::min(found->get<std::uint64_t>(), UsageReader::kMaxTokens);
}

// Counts only grow: Anthropic repeats them, each time as a total. Its count of cached tokens is beside
// that of the others, OpenAI's within it.
void take(const Json& usage, Usage& seen) {
  if (!usage.is_object()) return;
  const auto cached = usage.find("prompt_tokens_details");
  const bool details = cached != usage.end() && cached->is_object();
  const std::uint64_t read = number(usage, "cache_read_input_tokens");
  const std::uint64_t written = number(usage, "cache_creation_input_tokens");
  const std::uint64_t in = number(usage, "prompt_tokens") + number(usage, "input_tokens") + read + written;
  const std::uint64_t out = number(usage, "completion_tokens") + number(usage, "output_tokens");
  const auto grow = [](std::uint64_t& total, std::uint64_t to) {
    total = std::max(total, std::min(to, UsageReader::kMaxTokens));
  };
  grow(seen.tokens_in, in);
  grow(seen.tokens_out, out);
  grow(seen.cache_read, read + (details ? number(*cached, "cached_tokens") : 0));
  grow(seen.cache_write, written);
}

void take_document(std::string_view text, Usage& seen) {
  if (text.find("\"usage\"") == std::string_view::npos) return;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return;
  if (const auto usage = json.find("usage"); usage != json.end()) {
    Usage whole;
    take(*usage, whole);
    take(*usage, seen);
    seen.final = seen.final || whole.tokens_in + whole.tokens_out != 0;
  }
  const auto message = json.find("message");  // Anthropic's message_start: no count of the output yet
  if (message == json.end() || !message->is_object()) return;
  if (const auto usage = message->find("usage"); usage != message->end()) take(*usage, seen);
}

// Where the models' words are, in either shape and its variants.
constexpr std::array kSaid{"content", "text", "thinking", "reasoning", "reasoning_content",
                           "refusal", "arguments", "partial_json"};

std::uint64_t said_bytes(std::string_view text, LineFacts& facts) {
  read_line(text, facts);
  std::uint64_t bytes = 0;
  for (const LineString& string : facts.strings) {
    if (std::ranges::find(kSaid, string.key) != kSaid.end()) bytes += string.end - string.begin;
  }
  return bytes;
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
  if (!text.starts_with(kData)) return;
  text.remove_prefix(kData.size());
  take_document(text, seen_);
  text_bytes_ += said_bytes(text, facts_);
}

Usage UsageReader::usage() const {
  Usage all = seen_;
  if (!sse_ && !skipping_) take_document(held_, all);
  return all;
}

std::uint64_t UsageReader::text_bytes() const {
  if (sse_ || skipping_) return text_bytes_;
  LineFacts facts;
  return said_bytes(held_, facts);
}

Counted count_call(const UsageReader& reader, const Model& model, std::size_t request_bytes, bool may_cost) {
  constexpr std::uint64_t kBytesOfAToken = 4;
  constexpr double kNanosOfAPrice = 1e9 / 1e6;  // of one token, from the price of a million
  Usage used = reader.usage();
  Counted counted;
  if (!used.final && may_cost) {
    counted.estimated = true;
    if (used.tokens_in == 0) used.tokens_in = (request_bytes + kBytesOfAToken - 1) / kBytesOfAToken;
    const std::uint64_t said = (reader.text_bytes() + kBytesOfAToken - 1) / kBytesOfAToken;
    used.tokens_out = std::max(used.tokens_out, said);
  }
  counted.tokens_in = used.tokens_in;
  counted.tokens_out = used.tokens_out;
  const std::uint64_t cached = std::min(used.tokens_in, used.cache_read + used.cache_write);
  const double cost = static_cast<double>(used.tokens_in - cached) * model.input_cost +
                      static_cast<double>(used.cache_read) * model.cache_read_cost +
                      static_cast<double>(used.cache_write) * model.cache_write_cost +
                      static_cast<double>(used.tokens_out) * model.output_cost;
  counted.cost_nanos = static_cast<std::uint64_t>(std::llround(cost * kNanosOfAPrice));
  return counted;
}

}  // namespace oqto::gateway
