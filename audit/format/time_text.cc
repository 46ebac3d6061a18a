#include "audit/format/time_text.h"

#include <time.h>

#include <algorithm>
#include <charconv>

namespace oqto::audit {
namespace {

constexpr std::uint64_t kSecond = 1000;
constexpr std::uint64_t kMaxSeconds = 253'402'300'799;  // the end of the year 9999

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> take_digits(std::string_view& rest, std::size_t count) {
  if (rest.size() < count) return std::nullopt;
  const auto value = number(rest.substr(0, count));
  rest.remove_prefix(count);
  return value;
}

bool take(std::string_view& rest, std::string_view any_of) {
  if (rest.empty() || any_of.find(rest.front()) == any_of.npos) return false;
  rest.remove_prefix(1);
  return true;
}

std::optional<std::uint64_t> relative(std::string_view text, std::uint64_t now_ms) {
  if (text.empty()) return std::nullopt;
  const std::uint64_t units[] = {1, 60, 3600, 86400, 7 * 86400};
  const std::size_t unit = std::string_view("smhdw").find(text.back());
  const auto count = number(text.substr(0, text.size() - 1));
  if (unit == std::string_view::npos || !count || *count > kMaxSeconds / units[unit]) {
    return std::nullopt;
  }
  return now_ms - std::min(now_ms, *count * units[unit] * kSecond);
}

// Milliseconds of ".5", ".25", ".123"; further digits are not kept.
std::optional<std::uint64_t> fraction(std::string_view& rest) {
  std::uint64_t ms = 0;
  std::uint64_t place = 100;
  const std::size_t length = std::min(rest.find_first_not_of("0123456789"), rest.size());
  if (length == 0) return std::nullopt;
  for (const char c : rest.substr(0, length)) {
    ms += static_cast<std::uint64_t>(c - '0') * place;
    place /= 10;
  }
  rest.remove_prefix(length);
  return ms;
}

struct Clock {
  std::uint64_t hour = 0, minute = 0, second = 0, ms = 0;
};

std::optional<Clock> read_clock(std::string_view rest) {
  Clock clock;
  const auto hour = take_digits(rest, 2);
  if (!hour || !take(rest, ":")) return std::nullopt;
  const auto minute = take_digits(rest, 2);
  if (!minute) return std::nullopt;
  clock.hour = *hour;
  clock.minute = *minute;
  if (take(rest, ":")) {
    const auto second = take_digits(rest, 2);
    if (!second) return std::nullopt;
    clock.second = *second;
    if (take(rest, ".")) {
      const auto ms = fraction(rest);
      if (!ms) return std::nullopt;
      clock.ms = *ms;
    }
  }
  (void)take(rest, "Z");
  if (!rest.empty() || clock.hour > 23 || clock.minute > 59 || clock.second > 59) {
    return std::nullopt;
  }
  return clock;
}

bool to_parts(std::uint64_t unix_ms, tm& parts) {
  const auto seconds = static_cast<time_t>(unix_ms / kSecond);
  return unix_ms / kSecond <= kMaxSeconds && ::gmtime_r(&seconds, &parts) != nullptr;
}

std::string day_of(const tm& parts) {
  char text[64] = "";
  return {text, ::strftime(text, sizeof text, "%Y-%m-%d", &parts)};
}

std::string time_of(const tm& parts) {
  char text[64] = "";
  return {text, ::strftime(text, sizeof text, "%H:%M:%S", &parts)};
}

}  // namespace

std::string utc_text(std::uint64_t unix_ms) {
  tm parts{};
  if (!to_parts(unix_ms, parts)) return std::to_string(unix_ms) + "ms";
  const std::string fraction = std::to_string(unix_ms % kSecond);
  return day_of(parts) + " " + time_of(parts) + "." + std::string(3 - fraction.size(), '0') +
         fraction + "Z";
}

std::string utc_day(std::uint64_t unix_ms) {
  tm parts{};
  return to_parts(unix_ms, parts) ? day_of(parts) : "beyond 9999";
}

std::optional<std::uint64_t> parse_time(std::string_view text, std::uint64_t now_ms) {
  if (text.starts_with('-')) return relative(text.substr(1), now_ms);
  if (text.starts_with('@')) {
    const auto seconds = number(text.substr(1));
    if (!seconds || *seconds > kMaxSeconds) return std::nullopt;
    return *seconds * kSecond;
  }
  std::string_view rest = text;
  const auto year = take_digits(rest, 4);
  if (!year || *year < 1970 || !take(rest, "-")) return std::nullopt;
  const auto month = take_digits(rest, 2);
  if (!month || *month < 1 || *month > 12 || !take(rest, "-")) return std::nullopt;
  const auto day = take_digits(rest, 2);
  if (!day || *day < 1 || *day > 31) return std::nullopt;
  Clock clock;
  if (!rest.empty()) {
    const auto read = take(rest, "T ") ? read_clock(rest) : std::nullopt;
    if (!read) return std::nullopt;
    clock = *read;
  }
  tm parts{};
  parts.tm_year = static_cast<int>(*year) - 1900;
  parts.tm_mon = static_cast<int>(*month) - 1;
  parts.tm_mday = static_cast<int>(*day);
  const time_t midnight = ::timegm(&parts);
  if (parts.tm_mday != static_cast<int>(*day)) return std::nullopt;  // 31 June
  return (static_cast<std::uint64_t>(midnight) + clock.hour * 3600 + clock.minute * 60 +
          clock.second) * kSecond + clock.ms;
}

}  // namespace oqto::audit
