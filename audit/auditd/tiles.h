// The content of the derived files, as the log grows: C2SP tlog-tiles entry bundles and hash tiles.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/format/format.h"
#include "audit/format/hash.h"

namespace oqto::audit {

struct TileFile {
  int level = 0;  // kEntriesLevel: an entry bundle
  std::uint64_t index = 0;
  std::size_t width = kTileWidth;
  std::string content;
};

class Tiles {
 public:
  void append(std::string_view entry, const Hash& leaf);

  // Of an entry in a bundle that was pruned: its bundle is not made again.
  void append_hash_only(const Hash& leaf) { append_hash(0, leaf); }

  // What became full since the last call.
  std::vector<TileFile> take_full() { return std::exchange(full_, {}); }
  // What is half full now.
  [[nodiscard]] std::vector<TileFile> partials() const;

 private:
  struct Level {
    std::uint64_t index = 0;  // of the tile that is being filled
    std::vector<Hash> hashes;
  };
  static constexpr std::size_t kLevels = 8;

  void append_hash(std::size_t level, const Hash& hash);

  std::array<Level, kLevels> levels_;
  std::string bundle_;
  std::vector<TileFile> full_;
};

}  // namespace oqto::audit
