// How long a provider that refuses a call asks to be left alone.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace oqto::gateway {

constexpr std::uint64_t kMaxHeldMs = 60'000;            // so long a call waits here
constexpr std::uint64_t kMaxRetryAfterMs = 86'400'000;  // a longer wish is cut to this

// The value of `retry-after`: seconds, or a date of HTTP. Nothing if it is neither.
std::optional<std::uint64_t> retry_after_ms(std::string_view value, std::uint64_t now_unix_ms);

}  // namespace oqto::gateway
