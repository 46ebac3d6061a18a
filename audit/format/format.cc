#include "audit/format/format.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "audit/auditd/entry.h"
#include "audit/format/hash.h"

namespace oqto::audit {
namespace {

constexpr std::string_view kEntriesMagic = "\xffOE1";
constexpr std::string_view kNoteMagic = "\xffOC1";
constexpr std::size_t kHead = 20;
constexpr std::size_t kNoteHead = 16;
constexpr std::size_t kDigest = 32;
constexpr int kMaxLevel = 7;  // 256^8 entries

void append_number(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
}

std::uint64_t number_at(std::string_view text, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[at + i])) << 8 * i;
  }
  return value;
}

bool all_zero(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == 0; });
}

bool digest_fits(std::string_view frame) {
  const std::string_view content = frame.substr(0, frame.size() - kDigest);
  return as_text(sha256(content)) == frame.substr(content.size());
}

bool starts_like(std::string_view rest, std::string_view magic) {
  return magic.starts_with(rest.substr(0, magic.size()));
}

std::string pad(std::uint64_t number, std::size_t digits) {
  std::string text = std::to_string(number);
  return text.insert(0, digits - std::min(digits, text.size()), '0');
}

std::optional<std::uint64_t> digits(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string segment_name(std::uint64_t first_index) {
  return pad(first_index, 20);
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) {
  const auto index = digits(name);
  if (!index || segment_name(*index) != name) return std::nullopt;
  return index;
}

void append_entry(std::string& body, std::string_view entry) {
  body += static_cast<char>(entry.size() >> 8 & 0xff);
  body += static_cast<char>(entry.size() & 0xff);
  body += entry;
}

SplitBody split_body(std::string_view body) {
  constexpr std::size_t kUsualEntry = 256;
  SplitBody split{{}, body};
  split.entries.reserve(body.size() / kUsualEntry + 1);
  while (split.rest.size() >= 2) {
    const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(split.rest[0]))
                                 << 8 |
                             static_cast<unsigned char>(split.rest[1]);
    if (split.rest.size() < 2 + size) break;
    split.entries.push_back(split.rest.substr(2, size));
    split.rest.remove_prefix(2 + size);
  }
  return split;
}

std::string encode_batch(std::uint64_t first, std::uint32_t count, std::string_view body) {
  std::string frame;
  frame.reserve(kHead + body.size() + kDigest + kNoteFrame);
  frame += kEntriesMagic;
  append_number(frame, count, 4);
  append_number(frame, first, 8);
  append_number(frame, body.size(), 4);
  frame += body;
  frame += as_text(sha256(frame));
  frame.append(kNoteFrame, '\0');
  return frame;
}

std::string encode_note_frame(std::uint64_t size, std::string_view note) {
  std::string frame(kNoteMagic);
  append_number(frame, note.size(), 4);
  append_number(frame, size, 8);
  frame += note.substr(0, kMaxNote);
  frame.resize(kNoteFrame - kDigest, '\0');
  return frame += as_text(sha256(frame));
}

std::optional<NoteFrame> read_note_frame(std::string_view rest) {
  if (rest.size() < kNoteFrame || !rest.starts_with(kNoteMagic)) return std::nullopt;
  const std::string_view frame = rest.substr(0, kNoteFrame);
  const std::size_t size = number_at(frame, 4, 4);
  if (size > kMaxNote || !digest_fits(frame)) return std::nullopt;
  const std::string_view room = frame.substr(kNoteHead, kMaxNote);
  if (!all_zero(room.substr(size))) return std::nullopt;
  return NoteFrame{number_at(frame, 8, 8), room.substr(0, size)};
}

Batch read_batch(std::string_view rest) {
  Batch batch;
  batch.state = BatchState::damaged;
  if (rest.empty()) {
    batch.state = BatchState::end;
    return batch;
  }
  if (all_zero(rest.substr(0, kHead))) {
    if (all_zero(rest)) batch.state = BatchState::unfinished;
    return batch;
  }
  if (!starts_like(rest, kEntriesMagic)) return batch;
  if (rest.size() < kHead) {
    batch.state = BatchState::unfinished;
    return batch;
  }
  const std::size_t body = number_at(rest, 16, 4);
  if (body > kMaxBody) return batch;
  const std::size_t length = kHead + body + kDigest;
  if (rest.size() < length) {
    batch.state = BatchState::unfinished;
    return batch;
  }
  if (!digest_fits(rest.substr(0, length))) return batch;
  SplitBody split = split_body(rest.substr(kHead, body));
  if (!split.rest.empty() || split.entries.empty() ||
      split.entries.size() != number_at(rest, 4, 4)) {
    return batch;
  }
  batch.has_entries = true;
  batch.first = number_at(rest, 8, 8);
  batch.entries = std::move(split.entries);
  batch.length = length;
  const std::string_view after = rest.substr(length);
  if (after.size() < kNoteFrame ? all_zero(after) : all_zero(after.substr(0, kNoteFrame))) {
    batch.state = BatchState::unfinished;
    return batch;
  }
  const auto note = read_note_frame(after);
  if (!note || note->size != batch.first + batch.entries.size()) return batch;
  batch.state = BatchState::complete;
  batch.note = note->note;
  batch.length += kNoteFrame;
  return batch;
}

std::size_t claimed_length(std::string_view rest) {
  if (rest.size() < kHead || !rest.starts_with(kEntriesMagic)) return 0;
  const std::size_t body = number_at(rest, 16, 4);
  return body > kMaxBody ? 0 : kHead + body + kDigest + kNoteFrame;
}

std::size_t find_entries_frame(std::string_view segment, std::size_t from, std::size_t& budget) {
  for (;; ++from) {
    from = segment.find(kEntriesMagic, from);
    if (from == segment.npos) return from;
    if (read_batch(segment.substr(from)).has_entries) return from;
    const std::size_t claimed = claimed_length(segment.substr(from));
    const std::size_t cost = claimed <= segment.size() - from ? std::max(kHead, claimed) : kHead;
    budget -= std::min(budget, cost);
    if (budget == 0) return segment.npos;
  }
}

std::size_t find_note_frame(std::string_view segment, std::size_t from, std::size_t& budget) {
  for (;; ++from) {
    from = segment.find(kNoteMagic, from);
    if (from == segment.npos || read_note_frame(segment.substr(from))) return from;
    budget -= std::min(budget, kNoteFrame);
    if (budget == 0) return segment.npos;
  }
}

std::size_t find_entries_frame(std::string_view segment, std::size_t from) {
  std::size_t budget = std::size_t{1} << 32;
  return find_entries_frame(segment, from, budget);
}

SplitBody salvage_entries(std::string_view frame) {
  if (frame.size() < kHead + kDigest) return {{}, frame};
  return split_body(frame.substr(kHead, frame.size() - kHead - kDigest));
}

std::string tile_path(int level, std::uint64_t index, std::size_t width) {
  std::string name = pad(index % 1000, 3);
  while ((index /= 1000) > 0) name = "x" + pad(index % 1000, 3) + "/" + name;
  const std::string kind = level == kEntriesLevel ? "entries" : std::to_string(level);
  const std::string partial = width < kTileWidth ? ".p/" + std::to_string(width) : "";
  return std::string(kTileDir) + "/" + kind + "/" + name + partial;
}

std::optional<TileName> parse_tile_path(std::string_view path) {
  TileName tile{kEntriesLevel, 0, kTileWidth};
  std::string_view rest = path;
  if (!rest.starts_with("tile/")) return std::nullopt;
  rest.remove_prefix(5);
  const std::string_view kind = rest.substr(0, rest.find('/'));
  rest.remove_prefix(std::min(rest.size(), kind.size() + 1));
  if (kind != "entries") {
    const auto level = digits(kind);
    if (!level || *level > kMaxLevel) return std::nullopt;
    tile.level = static_cast<int>(*level);
  }
  if (const std::size_t partial = rest.find(".p/"); partial != rest.npos) {
    const auto width = digits(rest.substr(partial + 3));
    if (!width || *width == 0 || *width >= kTileWidth) return std::nullopt;
    tile.width = *width;
    rest = rest.substr(0, partial);
  }
  std::string number;
  std::ranges::copy_if(rest, std::back_inserter(number),
                       [](char c) { return c != 'x' && c != '/'; });
  const auto index = digits(number);
  if (!index) return std::nullopt;
  tile.index = *index;
  if (tile_path(tile.level, tile.index, tile.width) != path) return std::nullopt;
  return tile;
}

std::string blob_path(std::string_view sha256_hex) {
  return std::string(kBlobDir) + "/" + std::string(sha256_hex.substr(0, 2)) + "/" +
         std::string(sha256_hex);
}

}  // namespace oqto::audit
