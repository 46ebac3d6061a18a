// A terminal's recording, as asciicast v2: one JSON header line, then one line per event. Only what
// the terminal shows is recorded, never what was typed. The recording is cut into chunks, each of them
// whole lines, each a blob of its own with its own entry, so that nothing is lost but the last seconds
// when the machine goes down, and each part can be checked alone.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace oqto::audit {

constexpr std::size_t kChunkBytes = 64 * 1024;
constexpr std::uint64_t kChunkMs = 5000;
constexpr std::uint16_t kMaxTerminalSide = 1000;  // columns, rows

class Recorder {
 public:
  // Gets the chunks in order, numbered from 0. An error ends the recording: whoever shows a terminal
  // that cannot be recorded closes it.
  using Sink = std::function<Status(std::uint64_t number, std::string_view chunk)>;

  // Times are milliseconds of one monotonic clock; `unix_s` is the wall clock at the start.
  Recorder(std::uint16_t columns, std::uint16_t rows, std::uint64_t unix_s, std::uint64_t now_ms,
           Sink sink);

  Status output(std::string_view bytes, std::uint64_t now_ms);  // any bytes, cut anywhere
  Status resize(std::uint16_t columns, std::uint16_t rows, std::uint64_t now_ms);
  Status tick(std::uint64_t now_ms);  // to be called when due() has come
  // When the present chunk must go out; nullopt: there is nothing in it.
  [[nodiscard]] std::optional<std::uint64_t> due() const;
  Status finish(std::uint64_t now_ms);

 private:
  Status event(char kind, std::string_view text, std::uint64_t now_ms);
  Status flush();

  const std::uint64_t start_ms_;
  const Sink sink_;
  std::string chunk_;
  std::uint64_t chunk_since_ms_;
  std::uint64_t next_number_ = 0;
  std::uint64_t last_ms_;
  std::string cut_;  // the beginning of a character whose end has not come
  Status failure_;
};

// --- reading ---

struct RecordedEvent {
  double seconds = 0;  // since the start; never goes back
  char kind = 'o';     // 'o' output, 'r' resize ("80x24"), 'm' marker
  std::string text;
};
struct Recording {
  std::uint16_t columns = 80;
  std::uint16_t rows = 24;
  std::uint64_t unix_s = 0;
  std::vector<RecordedEvent> events;
};

constexpr std::size_t kMaxRecordedEvents = 4'000'000;

// Strict where a player could be misled, lenient towards what asciicast allows beside it: unknown
// header members, unknown kinds of events. Errc::bad_message: no asciicast v2.
Result<Recording> parse_recording(std::string_view text);

// What of terminal output is harmless to show: text, line ends, colours, cursor movement, erasing.
// Everything else (titles, clipboard, device questions, whose answers would be typed into the
// auditor's shell, modes, C1) is left out. State is kept: sequences may be cut anywhere.
class TerminalFilter {
 public:
  // `only_text`: no sequences at all.
  explicit TerminalFilter(bool only_text = false) : only_text_(only_text) {}
  std::string filter(std::string_view bytes);

 private:
  enum class State : std::uint8_t { text, escape, csi, string, string_escape, skip_one };
  void take(unsigned char byte, std::string& out);
  void take_text(unsigned char byte, std::string& out);
  void take_escape(unsigned char byte, std::string& out);
  void take_csi(unsigned char byte, std::string& out);
  void end_character(std::string& out);

  const bool only_text_;
  State state_ = State::text;
  std::string sequence_;
  std::string character_;  // bytes of an unfinished UTF-8 character
  std::size_t missing_ = 0;
};

}  // namespace oqto::audit
