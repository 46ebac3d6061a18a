// Counts tokens from an answer as it passes: an SSE stream or one JSON text, of either API. It only
// looks; whatever it cannot read counts as nothing. What no provider has counted is estimated.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/config.h"
#include "gateway/line_strings.h"

namespace oqto::gateway {

struct Usage {
  std::uint64_t tokens_in = 0;  // cached ones included
  std::uint64_t tokens_out = 0;
  std::uint64_t cache_read = 0;  // of tokens_in
  std::uint64_t cache_write = 0;  // of tokens_in
  bool final = false;  // the provider's count of the whole call; else of its beginning, or nothing
};

class UsageReader {
 public:
  static constexpr std::size_t kMaxLine = 256 * 1024;     // a longer SSE line is not looked at
  static constexpr std::size_t kMaxJson = 8 * 1024 * 1024;  // nor is a longer JSON answer
  static constexpr std::uint64_t kMaxTokens = 1'000'000'000;  // per call; more is nonsense

  // `sse`: the content type is text/event-stream.
  explicit UsageReader(bool sse = true) : sse_(sse) {}
  void feed(std::string_view bytes);
  // What is known so far; of a JSON answer only after its last byte.
  [[nodiscard]] Usage usage() const;
  // Of what the model said: text, reasoning, arguments of tools.
  [[nodiscard]] std::uint64_t text_bytes() const;

 private:
  void line(std::string_view text);

  bool sse_;
  bool skipping_ = false;
  std::string held_;
  Usage seen_;
  LineFacts facts_;
  std::uint64_t text_bytes_ = 0;
};

struct Counted {
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  std::uint64_t cost_nanos = 0;  // 1e-9 of the currency of the model's prices
  bool estimated = false;
};

// `may_cost`: the provider had the request and did not refuse it. Then what it did not count itself is a
// token for every 4 bytes of the request, and of what the model said.
Counted count_call(const UsageReader& reader, const Model& model, std::size_t request_bytes, bool may_cost);

}  // namespace oqto::gateway
