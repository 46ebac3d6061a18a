// The files of a log directory.
//
//   segment/<first index, 20 digits>   the truth: batches, each durable before it was acknowledged
//   tile/entries/<N>, tile/<L>/<N>     derived: C2SP tlog-tiles, with partial ones as <N>.p/<W>
//   checkpoint                         derived: the newest published C2SP checkpoint
//   blob/<2 hex>/<64 hex>              payloads that entries name by the SHA-256 of these bytes
//   keys/<tenant>/<day>                what personal fields and blobs are sealed with
//   tmp/                               unfinished derived files, without meaning; and what is kept for
//                                      when the disk is full: `spare`, the next segment, and files for keys
//
// A segment is a sequence of batches. A batch is an entries frame and a note frame:
//
//   entries frame  ff 'O' 'E' '1' | u32 count | u64 first index | u32 body size | body | SHA-256
//   note frame     ff 'O' 'C' '1' | u32 note size | u64 tree size | note, padded with zeros |
//   SHA-256
//
// Numbers are little-endian; each SHA-256 is over its frame before it. The body is a C2SP entry
// bundle: per entry a big-endian u16 length and the bytes. A note frame has kNoteFrame bytes, so
// that its room is written together with the entries and cannot be lacking once the signer has
// signed. 0xff never occurs in an entry or a note: no content can be mistaken for a frame.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oqto::audit {

constexpr std::size_t kNoteFrame = 768;  // two signatures under names of any allowed length
constexpr std::size_t kMaxNote = kNoteFrame - 16 - 32;
constexpr std::size_t kMaxBody = 16 << 20;
constexpr std::uint64_t kMaxSegment = 64 << 20;  // then a new one begins
constexpr std::size_t kTileWidth = 256;

// The directory's group may read all of it: that is what the auditor reads it by.
constexpr mode_t kSharedDir = 0750;
constexpr mode_t kSharedFile = 0640;

constexpr const char* kSegmentDir = "segment";
constexpr const char* kTileDir = "tile";
constexpr const char* kTmpDir = "tmp";
constexpr const char* kSpareSegment = "spare";    // in kTmpDir: empty, with blocks of its own
constexpr std::string_view kSpareKey = "key-";    // in kTmpDir, with a number below kSpareKeys
constexpr int kSpareKeys = 16;
constexpr const char* kBlobDir = "blob";
constexpr const char* kKeysDir = "keys";
constexpr const char* kCheckpointFile = "checkpoint";

// --- segments ---

std::string segment_name(std::uint64_t first_index);
std::optional<std::uint64_t> parse_segment_name(std::string_view name);

void append_entry(std::string& body, std::string_view entry);
// The entries at the start of `body` while they are well-formed; `rest` is what remains.
struct SplitBody {
  std::vector<std::string_view> entries;
  std::string_view rest;
};
SplitBody split_body(std::string_view body);

std::string encode_batch(std::uint64_t first, std::uint32_t count, std::string_view body);
std::string encode_note_frame(std::uint64_t size, std::string_view note);

enum class BatchState : std::uint8_t {
  complete,
  end,         // nothing more
  unfinished,  // a write was cut short: the file ends inside the batch, or has only zeros left
  damaged,     // anything else
};
struct Batch {
  BatchState state{};
  bool has_entries = false;  // also in an unfinished or damaged batch whose entries frame is whole
  std::uint64_t first = 0;
  std::vector<std::string_view> entries;
  std::string_view note;   // complete only
  std::size_t length = 0;  // of the batch, if it is complete; of the entries frame, if it is whole
};
Batch read_batch(std::string_view rest);
// How long the batch at the start of `rest` says it is, 0 if it does not begin like one. Nothing is
// checked: to find batches that can be read independently of each other.
std::size_t claimed_length(std::string_view rest);

// The offset of the next whole entries frame or note frame at or after `from`, npos if none. A
// foreign segment may be full of false beginnings: what they cost to hash is taken from `budget`, and
// when that is used up, none is found.
std::size_t find_entries_frame(std::string_view segment, std::size_t from, std::size_t& budget);
std::size_t find_note_frame(std::string_view segment, std::size_t from, std::size_t& budget);
// The same for who trusts that the segment is no trap.
std::size_t find_entries_frame(std::string_view segment, std::size_t from);
// A note frame by itself: where one is known to be.
struct NoteFrame {
  std::uint64_t size = 0;
  std::string_view note;
};
std::optional<NoteFrame> read_note_frame(std::string_view rest);

// What can still be read of an entries frame whose digest does not fit.
SplitBody salvage_entries(std::string_view frame);

// --- tiles ---

// `tile/<level>/<index>`, or `tile/entries/<index>`; `.p/<width>` if width < kTileWidth.
constexpr int kEntriesLevel = -1;
std::string tile_path(int level, std::uint64_t index, std::size_t width);
struct TileName {
  int level = 0;
  std::uint64_t index = 0;
  std::size_t width = 0;
};
std::optional<TileName> parse_tile_path(std::string_view path);

// --- blobs ---

std::string blob_path(std::string_view sha256_hex);  // `blob/ab/abcd…`

}  // namespace oqto::audit
