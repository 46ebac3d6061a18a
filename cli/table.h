// Aligned columns for people, and times in the local zone.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::cli {

using Row = std::vector<std::string>;

// The first row is the heading. Bytes that could steer a terminal are shown as '?'.
std::string table(const std::vector<Row>& rows);
std::string printable(std::string_view text);
std::string local_time(std::uint64_t unix_ms);  // 2026-03-01T09:30:00+01:00; "-" for 0

}  // namespace oqto::cli
