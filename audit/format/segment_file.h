// The write side of the newest segment. append() is all or nothing. The file is longer than what was
// written: zeros behind the end stand for blocks that the file system has given already. That makes
// a write cheaper than one to a growing file, and kReserve of it is kept for the one record that says
// that there is no room any more.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

class SegmentFile {
 public:
  SegmentFile() = default;
  // Makes the file, or takes kSpareSegment of `spares`, and makes its name durable. Errc::limit: there is
  // no room for it now.
  static Result<SegmentFile> create(const Fd& dir, std::uint64_t first_index, const Fd& spares);
  // Drops what a crash left unfinished behind `length`.
  static Result<SegmentFile> open(const Fd& dir, std::uint64_t first_index, std::uint64_t length);

  enum class Room : std::uint8_t { usual, reserve };
  // Errc::limit: nothing was kept (no space, a short write, an I/O error). Errc::io: what was
  // written could not be taken back either.
  Status append(std::string_view bytes, Room room = Room::usual);
  // Over bytes that append() has written.
  Status overwrite(std::uint64_t offset, std::string_view bytes);
  Status sync();  // fdatasync. After an error nothing about this file may be believed.
  bool probe();   // whether there is room again
  Status touch();  // writes zeros over the zeros behind the end, and syncs: Errc::limit if there is no room
  Status finish();  // gives back what is behind the end, durably
  // Blocks for the next `bytes`, as far as the offset `most`: nobody else can take them. It asks the file
  // system when less than half of that is left.
  void reserve(std::uint64_t bytes, std::uint64_t most);
  [[nodiscard]] bool is_reserve_due(std::uint64_t bytes, std::uint64_t most) const;

  [[nodiscard]] std::uint64_t length() const { return length_; }
  [[nodiscard]] std::uint64_t reserved() const { return std::max(reserved_, given_) - length_; }

 private:
  static constexpr std::uint64_t kReserve = 64 * 1024;
  static constexpr std::uint64_t kAhead = 1 << 20;
  SegmentFile(Fd fd, std::uint64_t length) : fd_(std::move(fd)), length_(length), given_(length) {}
  Status measure();
  Status extend(std::uint64_t to);
  Status make_room(std::uint64_t bytes);
  Status take_back();

  Fd fd_;
  std::uint64_t length_ = 0;
  std::uint64_t given_ = 0;  // the file's size
  std::uint64_t reserved_ = 0;  // as far as there are blocks, about
};

// First indices of the segments in `dir`, ascending. Errc::invalid: a file of another name.
Result<std::vector<std::uint64_t>> list_segments(const Fd& dir);
// Names in a directory but "." and "..", sorted.
Result<std::vector<std::string>> list_directory(const Fd& dir);

Result<std::string> read_segment(const Fd& dir, std::uint64_t first_index);

}  // namespace oqto::audit
