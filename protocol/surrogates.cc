#include "protocol/surrogates.h"

namespace oqto::protocol {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";
// U+10D800 to U+10DFFF: lead byte and first continuation byte are always these.
constexpr std::string_view kHalf = "\xf4\x8d";

bool is_half(std::string_view text) {
  return text.size() >= 4 && text.starts_with(kHalf) && (static_cast<unsigned char>(text[2]) & 0xe0) == 0xa0;
}

unsigned half_of(std::string_view text) {
  const auto low_bits = [&](std::size_t at) { return static_cast<unsigned char>(text[at]) & 0x3fU; };
  return 0xd000U | low_bits(2) << 6 | low_bits(3);
}

void append_code_point(std::string& out, unsigned point) {  // beyond U+FFFF
  out += static_cast<char>(0xf0 | point >> 18);
  out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
  out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
  out += static_cast<char>(0x80 | (point & 0x3f));
}

}  // namespace

std::string SurrogateJoiner::feed(std::string_view text) {
  if (high_ == 0 && text.find(kHalf) == std::string_view::npos) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const unsigned half = is_half(text) ? half_of(text) : 0;
    const bool low = half >= 0xdc00;
    if (high_ != 0 && low) {
      append_code_point(out, 0x10000 + ((high_ - 0xd800) << 10) + (half - 0xdc00));
      high_ = 0;
    } else {
      if (high_ != 0) out += kReplacement;
      high_ = half != 0 && !low ? half : 0;
      if (low) out += kReplacement;
      if (half == 0) out += text.front();
    }
    text.remove_prefix(half == 0 ? 1 : 4);
  }
  return out;
}

std::string SurrogateJoiner::finish() {
  const bool waits = high_ != 0;
  high_ = 0;
  return waits ? std::string(kReplacement) : std::string();
}

}  // namespace oqto::protocol
