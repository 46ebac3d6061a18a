// The derived files: entry bundles, hash tiles and the checkpoint, each written aside and renamed.
// The files of a checkpoint are in place before the checkpoint is, so that the directory verifies at
// every instant (but for a power cut, until the next start). A failure here loses nothing: all of it
// is made again from the segments.
#pragma once
#include <array>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "audit/hash.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

class Tiles {
 public:
  void append(std::string_view entry, const Hash& leaf);

  // Of an entry in a bundle that was pruned: its bundle is not made again.
  void append_hash_only(const Hash& leaf) { append_hash(0, leaf); }

  // Writes tiles that became full, at most `max_files` of them.
  Status write_full(const Fd& log_dir, std::size_t max_files);
  // Writes what is left, the partial tiles, and `note` as the checkpoint.
  Status publish(const Fd& log_dir, std::string_view note);

  [[nodiscard]] bool has_full() const { return !full_.empty(); }

 private:
  struct File {
    int level;
    std::uint64_t index;
    std::string content;
  };
  struct Level {
    std::uint64_t index = 0;  // of the tile that is being filled
    std::vector<Hash> hashes;
  };
  static constexpr std::size_t kLevels = 8;
  static constexpr std::size_t kKeptPartials =
      8;  // older checkpoints' tiles, for readers under way

  void append_hash(std::size_t level, const Hash& hash);
  Status write_partial(const Fd& log_dir, int level, std::uint64_t index, std::size_t width,
                       std::string_view content) const;

  std::array<Level, kLevels> levels_;
  std::string bundle_;
  std::deque<File> full_;
  bool is_published_ = false;  // since the start
};

}  // namespace oqto::audit
