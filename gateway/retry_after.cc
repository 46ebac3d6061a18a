#include "gateway/retry_after.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

namespace oqto::gateway {

std::optional<std::uint64_t> retry_after_ms(std::string_view value, std::uint64_t now_unix_ms) {
  constexpr double kMsOfASecond = 1000;
  double seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) {
    if (!(seconds >= 0)) return std::nullopt;
    const double ms = std::min(seconds * kMsOfASecond, static_cast<double>(kMaxRetryAfterMs));
    return static_cast<std::uint64_t>(ms);
  }
  std::tm date{};
  const std::string text(value);
  const char* rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  const std::time_t at = ::timegm(&date);
  if (at < 0) return std::nullopt;
  const std::uint64_t at_ms = static_cast<std::uint64_t>(at) * 1000;
  return at_ms <= now_unix_ms ? 0 : std::min(at_ms - now_unix_ms, kMaxRetryAfterMs);
}

}  // namespace oqto::gateway
