// Reads asciicast v2.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "audit/recording/recording.h"

namespace oqto::audit {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> bad(const char* what) {
  return fail(Errc::bad_message, what);
}

std::optional<std::uint16_t> side_of(const Json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 ||
      value.get<std::uint64_t>() > kMaxTerminalSide) {
    return std::nullopt;
  }
  return value.get<std::uint16_t>();
}

Result<Recording> read_header(std::string_view line) {
  const Json header = Json::parse(line, nullptr, false);
  if (!header.is_object()) return bad("the first line is no asciicast header");
  if (header.value("version", Json()) != Json(2)) return bad("no asciicast of version 2");
  Recording recording;
  const auto columns = side_of(header.value("width", Json()));
  const auto rows = side_of(header.value("height", Json()));
  if (!columns || !rows) return bad("the header has no sensible width and height");
  recording.columns = *columns;
  recording.rows = *rows;
  if (const Json at = header.value("timestamp", Json()); at.is_number_unsigned()) {
    recording.unix_s = at.get<std::uint64_t>();
  }
  return recording;
}

Result<RecordedEvent> read_event(std::string_view line) {
  constexpr double kMaxSeconds = 1e9;
  const Json event = Json::parse(line, nullptr, false);
  if (!event.is_array() || event.size() != 3 || !event[0].is_number() || !event[1].is_string() ||
      !event[2].is_string()) {
    return bad("a line is no event: [time, kind, text]");
  }
  const std::string kind = event[1].get<std::string>();
  RecordedEvent read{event[0].get<double>(), kind.size() == 1 ? kind[0] : '?',
                     event[2].get<std::string>()};
  if (!(read.seconds >= 0 && read.seconds <= kMaxSeconds)) return bad("an event has no sensible time");
  return read;
}

}  // namespace

Result<Recording> parse_recording(std::string_view text) {
  const std::size_t header_end = std::min(text.find('\n'), text.size());
  auto recording = TRY(read_header(text.substr(0, header_end)));
  text.remove_prefix(std::min(header_end + 1, text.size()));
  double last = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (recording.events.size() == kMaxRecordedEvents) return bad("more events than can be played");
    auto event = TRY(read_event(line));
    event.seconds = last = std::max(last, event.seconds);
    recording.events.push_back(std::move(event));
  }
  return recording;
}

}  // namespace oqto::audit
