// The write side of the newest segment. append() is all or nothing.
#pragma once
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
  // Makes the file, and its name durable. Errc::limit: there is no room for it now.
  static Result<SegmentFile> create(const Fd& dir, std::uint64_t first_index);
  // Cuts the file to `length`, which drops what a crash left unfinished behind it.
  static Result<SegmentFile> open(const Fd& dir, std::uint64_t first_index, std::uint64_t length);

  // Errc::limit: nothing was kept (no space, a short write, an I/O error). Errc::io: what was
  // written could not be taken back either.
  Status append(std::string_view bytes);
  // Over bytes that append() has written.
  Status overwrite(std::uint64_t offset, std::string_view bytes);
  Status sync();  // fdatasync. After an error nothing about this file may be believed.
  // Whether there is room again: writes kProbe bytes behind the end and takes them back.
  bool probe();

  [[nodiscard]] std::uint64_t length() const { return length_; }

 private:
  static constexpr std::size_t kProbe = 1 << 20;
  SegmentFile(Fd fd, std::uint64_t length) : fd_(std::move(fd)), length_(length) {}
  Fd fd_;
  std::uint64_t length_ = 0;
};

// First indices of the segments in `dir`, ascending. Errc::invalid: a file of another name.
Result<std::vector<std::uint64_t>> list_segments(const Fd& dir);
// Names in a directory but "." and "..", sorted.
Result<std::vector<std::string>> list_directory(const Fd& dir);

Result<std::string> read_segment(const Fd& dir, std::uint64_t first_index);

}  // namespace oqto::audit
