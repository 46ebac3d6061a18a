#include "gateway/key_track.h"

#include <algorithm>
#include <numeric>

namespace oqto::gateway {
namespace {

constexpr char kNeverInAKey = '\x80';

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The part of the key's base64 that is the same whatever stands before and after it, when the key begins
// `offset` bytes (0 to 2) into a group.
std::string base64_of(std::string_view key, std::size_t offset, std::string_view digits) {
  const std::string bytes = std::string(offset, '\0') + std::string(key);
  std::string text;
  for (std::size_t bit = 0; bit + 6 <= bytes.size() * 8; bit += 6) {
    unsigned value = 0;
    for (std::size_t i = bit; i < bit + 6; ++i) {
      value = value << 1 | (static_cast<unsigned char>(bytes[i / 8]) >> (7 - i % 8) & 1U);
    }
    text += digits[value];
  }
  return text.substr((offset * 8 + 5) / 6);
}

std::string unescaped(std::string_view text) {
  std::string plain;
  Unescaper unescaper;
  for (const char c : text) {
    unescaper.feed(c, 1, [&](char meant, std::size_t, std::size_t) { plain += meant; });
  }
  return plain;
}

}  // namespace

// --- KeyForms ------------------------------------------------------------------------------------

KeyForms::KeyForms(std::string_view key) {
  if (key.size() < kShortestKey) return;
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  add(std::string(key));
  add(unescaped(key));  // a key with backslashes, where nobody escapes them
  for (std::size_t offset = 0; offset < 3; ++offset) {
    add(base64_of(key, offset, letters + "+/"));
    add(base64_of(key, offset, letters + "-_"));
  }
}

void KeyForms::add(std::string text) {
  if (text.size() < kShortestKey) return;
  if (std::ranges::find(all_, text, &Form::text) != all_.end()) return;
  begins_[static_cast<unsigned char>(text.front())] = true;
  Form form{std::move(text), {0, 0}};
  for (std::size_t i = 1, same = 0; i < form.text.size(); ++i) {
    while (same > 0 && form.text[i] != form.text[same]) same = form.back[same];
    if (form.text[i] == form.text[same]) ++same;
    form.back.push_back(same);
  }
  all_.push_back(std::move(form));
}

// --- KeyReading ----------------------------------------------------------------------------------

std::size_t KeyReading::feed(char c, std::size_t bytes) {
  if (pending_ == 0 && !forms_->may_begin(c)) return 0;
  bytes_.push_back(bytes);
  pending_ = 0;
  std::size_t ended = 0;
  for (std::size_t i = 0; i < matched_.size(); ++i) {
    const KeyForms::Form& form = forms_->all()[i];
    std::size_t& matched = matched_[i];
    while (matched > 0 && form.text[matched] != c) matched = form.back[matched];
    if (form.text[matched] == c) ++matched;
    if (matched == form.text.size()) ended = std::max(ended, matched);
    pending_ = std::max(pending_, matched);
  }
  std::size_t written = 0;
  if (ended != 0) {
    written = std::accumulate(bytes_.end() - static_cast<std::ptrdiff_t>(ended), bytes_.end(), std::size_t{0});
    std::ranges::fill(matched_, 0U);
    pending_ = 0;
  }
  while (bytes_.size() > pending_) bytes_.pop_front();
  return written;
}

std::size_t KeyReading::pending_bytes() const {
  return std::accumulate(bytes_.begin(), bytes_.end(), std::size_t{0});
}

// --- Unescaper -----------------------------------------------------------------------------------

std::size_t Unescaper::decide(char& meant) const {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  meant = held_.front();
  if (meant != '\\') return 1;
  if (held_.size() == 1) return 0;
  if (const std::size_t name = kNames.find(held_[1]); name != kNames.npos) {
    meant = kMeant[name];
    return 2;
  }
  if (held_[1] != 'u') return 1;
  int code = 0;
  for (const char c : std::string_view(held_).substr(2)) {
    if (hex_value(c) < 0) return 1;
    code = code * 16 + hex_value(c);
  }
  if (held_.size() < 6) return 0;
  meant = code < 0x80 ? static_cast<char>(code) : kNeverInAKey;
  return 6;
}

void Unescaper::feed(char c, std::size_t bytes, const auto& emit) {
  if (held_.empty() && c != '\\') return emit(c, bytes, std::size_t{0});
  held_ += c;
  bytes_.push_back(bytes);
  undecided_ += bytes;
  while (!held_.empty()) {
    char meant = 0;
    const std::size_t count = decide(meant);
    if (count == 0) return;
    const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(count);
    const std::size_t written = std::accumulate(bytes_.begin(), end, std::size_t{0});
    held_.erase(0, count);
    bytes_.erase(bytes_.begin(), end);
    undecided_ -= written;
    emit(meant, written, undecided_);
  }
}

// --- KeyTrack ------------------------------------------------------------------------------------

void KeyTrack::feed(std::uint64_t part, std::size_t begin, std::string_view text, std::vector<Pieces>& found) {
  if (text.empty()) return;
  pieces_.push_back({part, begin, begin});
  for (const char c : text) {
    ++pieces_.back().end;
    outer_.feed(c, 1, [&](char meant, std::size_t bytes, std::size_t outer_left) {
      if (const std::size_t ended = plain_.feed(meant, bytes)) found.push_back(last(ended, outer_left));
      inner_.feed(meant, bytes, [&](char inner, std::size_t written, std::size_t left) {
        const std::size_t ended = nested_.feed(inner, written);
        if (ended != 0) found.push_back(last(ended, left + outer_left));
      });
    });
  }
  std::size_t kept = 0;
  for (const Piece& piece : pieces_) kept += piece.end - piece.begin;
  const std::size_t needed = pending_bytes();
  while (!pieces_.empty() && kept - (pieces_.front().end - pieces_.front().begin) >= needed) {
    kept -= pieces_.front().end - pieces_.front().begin;
    pieces_.pop_front();
  }
}

std::size_t KeyTrack::pending() const {
  const bool escape = outer_.undecided() + inner_.undecided() != 0;
  return std::max(plain_.pending(), nested_.pending()) + (escape ? 1 : 0);
}

std::size_t KeyTrack::pending_bytes() const {
  return std::max(plain_.pending_bytes(), nested_.pending_bytes() + inner_.undecided()) + outer_.undecided();
}

KeyTrack::Pieces KeyTrack::pending_pieces() const { return last(pending_bytes(), 0); }

// The last `bytes` of the text but for `before` at its end.
KeyTrack::Pieces KeyTrack::last(std::size_t bytes, std::size_t before) const {
  Pieces all;
  for (auto piece = pieces_.rbegin(); piece != pieces_.rend() && bytes > 0; ++piece) {
    const std::size_t skipped = std::min(before, piece->end - piece->begin);
    before -= skipped;
    const std::size_t end = piece->end - skipped;
    const std::size_t taken = std::min(bytes, end - piece->begin);
    if (taken == 0) continue;
    bytes -= taken;
    all.insert(all.begin(), {piece->part, end - taken, end});
  }
  return all;
}

}  // namespace oqto::gateway
