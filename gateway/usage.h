// Counts tokens from an answer as it passes: an SSE stream or one JSON text, of either API. It only
// looks; whatever it cannot read counts as nothing.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace oqto::gateway {

struct Usage {
  std::uint64_t tokens_in = 0;  // cached ones included
  std::uint64_t tokens_out = 0;
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

 private:
  void line(std::string_view text);

  bool sse_;
  bool skipping_ = false;
  std::string held_;
  Usage seen_;
};

}  // namespace oqto::gateway
