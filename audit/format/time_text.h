// Times as auditors read and write them: UTC.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oqto::audit {

std::string utc_text(std::uint64_t unix_ms);  // "2026-01-31 12:00:00.123Z"
std::string utc_day(std::uint64_t unix_ms);   // "2026-01-31"

// "2026-01-31", "2026-01-31 12:00", "2026-01-31T12:00:00.5Z", "@1769860800" (Unix seconds), or
// "-90m", "-2h", "-7d" (before `now_ms`). As Unix milliseconds.
std::optional<std::uint64_t> parse_time(std::string_view text, std::uint64_t now_ms);

}  // namespace oqto::audit
