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

// What a tenant's process claims of when something happened, as auditd writes it behind the time. One that is
// later than the record, or earlier by more than this, is not believed at all.
constexpr std::uint64_t kMaxClaimedLateMs = 86'400'000;
constexpr std::uint64_t kMaxClaimedEarlyMs = 2000;  // as much as a clock may step without a word of it
constexpr std::string_view kClaimed = " (claimed)";
constexpr std::string_view kClaimedBeyond = " (claimed, out of range)";

}  // namespace oqto::audit
