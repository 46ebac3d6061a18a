// A recording that somebody else made, and the bytes of a terminal: the filter lets nothing through
// that is no text, colour or movement, wherever the input is cut.
#include <cstdlib>

#include "audit/recording/recording.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oqto::audit;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_recording(text);
  TerminalFilter whole;
  TerminalFilter pieces;
  TerminalFilter plain(true);
  std::string joined;
  for (std::size_t i = 0; i < size; i += 3) joined += pieces.filter(text.substr(i, 3));
  const std::string shown = whole.filter(text);
  if (joined != shown) std::abort();
  for (const char c : plain.filter(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) std::abort();
  }
  for (std::size_t i = 0; i < shown.size(); ++i) {
    if (shown[i] == '\a' || shown[i] == '\x7f') std::abort();
    if (shown[i] != '\x1b') continue;
    const char next = i + 1 < shown.size() ? shown[i + 1] : '\0';
    if (next == ']' || next == 'P' || next == '_' || next == '^' || next == 'X' || next == 'c') std::abort();
  }
  return 0;
}
