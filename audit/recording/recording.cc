#include "audit/recording/recording.h"

#include <algorithm>
#include <cstdio>

#include "audit/format/json.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// How many bytes the character takes that begins with `lead`; 0: none begins so.
std::size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 0;
}

bool may_be_cut(std::string_view rest) {
  const std::size_t length = character_length(static_cast<unsigned char>(rest.front()));
  if (length <= rest.size()) return false;
  return std::ranges::all_of(rest.substr(1), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
  });
}

// As UTF-8; `cut` keeps the beginning of a character at the end.
std::string as_utf8(std::string_view bytes, std::string& cut) {
  const std::string all = std::exchange(cut, {}) + std::string(bytes);
  std::string out;
  for (std::string_view rest = all; !rest.empty();) {
    const std::size_t length = character_length(static_cast<unsigned char>(rest.front()));
    if (length > 0 && length <= rest.size() && is_valid_utf8(rest.substr(0, length))) {
      out += rest.substr(0, length);
      rest.remove_prefix(length);
    } else if (length > 1 && may_be_cut(rest)) {
      cut = rest;
      break;
    } else {
      out += kReplacement;
      rest.remove_prefix(1);
    }
  }
  return out;
}

std::string size_text(std::uint16_t columns, std::uint16_t rows) {
  return std::to_string(columns) + "x" + std::to_string(rows);
}

}  // namespace

Recorder::Recorder(std::uint16_t columns, std::uint16_t rows, std::uint64_t unix_s,
                   std::uint64_t now_ms, Sink sink)
    : start_ms_(now_ms), sink_(std::move(sink)), chunk_since_ms_(now_ms), last_ms_(now_ms) {
  chunk_ = R"({"version":2,"width":)" + std::to_string(columns) + R"(,"height":)" +
           std::to_string(rows) + R"(,"timestamp":)" + std::to_string(unix_s) + "}\n";
}

Status Recorder::event(char kind, std::string_view text, std::uint64_t now_ms) {
  if (!failure_) return failure_;
  last_ms_ = std::max(last_ms_, now_ms);
  const std::uint64_t since = last_ms_ - start_ms_;
  char time[32] = {};
  (void)std::snprintf(time, sizeof time, "[%llu.%03u,\"%c\",",
                      static_cast<unsigned long long>(since / 1000),
                      static_cast<unsigned>(since % 1000), kind);
  std::string line = time;
  append_json(line, text);
  line += "]\n";
  if (!chunk_.empty() && chunk_.size() + line.size() > kChunkBytes) {
    if (auto sent = flush(); !sent) return sent;
  }
  if (chunk_.empty()) chunk_since_ms_ = last_ms_;
  chunk_ += line;
  return tick(last_ms_);
}

Status Recorder::output(std::string_view bytes, std::uint64_t now_ms) {
  // An escaped control character takes six bytes: so much, and the line is within a chunk.
  constexpr std::size_t kPiece = 8 * 1024;
  while (!bytes.empty()) {
    const std::string text = as_utf8(bytes.substr(0, kPiece), cut_);
    bytes.remove_prefix(std::min(kPiece, bytes.size()));
    if (text.empty()) continue;
    if (auto done = event('o', text, now_ms); !done) return done;
  }
  return failure_;
}

Status Recorder::resize(std::uint16_t columns, std::uint16_t rows, std::uint64_t now_ms) {
  return event('r', size_text(columns, rows), now_ms);
}

std::optional<std::uint64_t> Recorder::due() const {
  if (chunk_.empty() || !failure_) return std::nullopt;
  return chunk_since_ms_ + kChunkMs;
}

Status Recorder::tick(std::uint64_t now_ms) {
  if (!failure_) return failure_;
  const auto at = due();
  return at && now_ms >= *at ? flush() : Status();
}

Status Recorder::flush() {
  if (chunk_.empty()) return failure_;
  failure_ = sink_(next_number_++, chunk_);
  chunk_.clear();
  return failure_;
}

Status Recorder::finish(std::uint64_t now_ms) {
  if (!cut_.empty()) {
    cut_.clear();
    if (auto done = event('o', kReplacement, now_ms); !done) return done;
  }
  if (!failure_) return failure_;
  return flush();
}

// --- the filter ---

std::string TerminalFilter::filter(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) take(static_cast<unsigned char>(c), out);
  return out;
}

void TerminalFilter::take(unsigned char byte, std::string& out) {
  if (byte == 0x18 || byte == 0x1a) {  // CAN, SUB: a terminal gives up the sequence
    state_ = State::text;
    end_character(out);
    return;
  }
  if (byte == 0x1b && state_ != State::string) {
    end_character(out);
    state_ = state_ == State::string_escape ? State::string_escape : State::escape;
    return;
  }
  switch (state_) {
    case State::text:
      return take_text(byte, out);
    case State::escape:
      return take_escape(byte, out);
    case State::csi:
      return take_csi(byte, out);
    case State::string:  // OSC, DCS and their like, up to ST or BEL
      if (byte == 0x1b) state_ = State::string_escape;
      if (byte == 0x07) state_ = State::text;
      return;
    case State::string_escape:
      state_ = State::text;
      if (byte != '\\') take_escape(byte, out);
      return;
    case State::skip_one:
      state_ = State::text;
      return;
  }
}

void TerminalFilter::end_character(std::string& out) {
  if (missing_ > 0) out += kReplacement;
  character_.clear();
  missing_ = 0;
}

void TerminalFilter::take_text(unsigned char byte, std::string& out) {
  if (byte < 0x80) {
    end_character(out);
    const bool moves = byte == '\r' || byte == '\b';
    if (byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\t' || (moves && !only_text_)) {
      out += static_cast<char>(byte);
    }
    return;
  }
  if (missing_ == 0) {
    const std::size_t length = character_length(byte);
    character_.assign(1, static_cast<char>(byte));
    missing_ = length > 1 ? length - 1 : 0;
    if (length == 0) out += kReplacement;
    return;
  }
  if ((byte & 0xc0) != 0x80) {
    end_character(out);
    return take_text(byte, out);
  }
  character_ += static_cast<char>(byte);
  if (--missing_ > 0) return;
  // C1 and what reorders or hides text is escaped by printable(): then it is left out.
  const bool is_good = is_valid_utf8(character_) && printable(character_) == character_;
  if (is_good) out += character_;
  character_.clear();
}

void TerminalFilter::take_escape(unsigned char byte, std::string& out) {
  state_ = State::text;
  if (byte == '[') {
    state_ = State::csi;
    sequence_.clear();
  } else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_') {
    state_ = State::string;
  } else if (byte >= 0x20 && byte <= 0x2f) {  // character sets
    state_ = State::skip_one;
  } else if (!only_text_ && (byte == '7' || byte == '8' || byte == 'M' || byte == 'D' || byte == 'E')) {
    (out += '\x1b') += static_cast<char>(byte);
  }
}

void TerminalFilter::take_csi(unsigned char byte, std::string& out) {
  constexpr std::size_t kMaxSequence = 64;
  if (byte < 0x20 || byte > 0x7e) {  // controls inside a sequence are for nobody's good
    state_ = State::text;
    return;
  }
  sequence_ += static_cast<char>(byte);
  if (byte < 0x40) {
    if (sequence_.size() > kMaxSequence) state_ = State::text;
    return;
  }
  state_ = State::text;
  const std::string_view parameters = std::string_view(sequence_).substr(0, sequence_.size() - 1);
  const bool is_plain = parameters.find_first_not_of("0123456789;:") == parameters.npos;
  const bool is_known = std::string_view("ABCDEFGHIJKLMPSTXZ@`adefmr").find(static_cast<char>(byte)) !=
                        std::string_view::npos;
  const bool is_mode = (byte == 'h' || byte == 'l') &&
                       (parameters == "?25" || parameters == "?1049" || parameters == "?7");
  if (only_text_ || !((is_plain && is_known) || is_mode)) return;
  (out += "\x1b[") += sequence_;
}

}  // namespace oqto::audit
