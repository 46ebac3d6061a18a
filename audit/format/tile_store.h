// The hash tiles of a log directory, as a source of tree nodes. What they say is not to be believed
// by itself: who uses it compares with a signed root.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audit/format/format.h"
#include "audit/format/hash.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

constexpr std::size_t kMaxTileBytes = kTileWidth * (2 + 65535);

// What says nothing of a file but that we could not read it: no permission, a bad disk.
bool is_unreadable(const Error& error);

// A regular file beneath a log directory, or beneath a copy that somebody else made.
Result<std::string> read_log_file(const Fd& dir, const std::string& path, std::size_t max);

std::vector<Hash> split_hashes(std::string_view bytes);

class TileStore {
 public:
  // A tree of `size` leaves; `dir` must outlive this.
  TileStore(const Fd& dir, std::uint64_t size) : dir_(dir), size_(size) {}

  // The root over the leaves [index << level, (index + 1) << level).
  std::optional<Hash> node(unsigned level, std::uint64_t index);

  // The leaf hashes [from, to), empty if not all of them are there. `read`, if given, counts the tiles
  // that were looked for.
  std::vector<Hash> leaves(std::uint64_t from, std::uint64_t to, std::uint64_t* read = nullptr);

 private:
  struct Tile {
    std::uint64_t index = ~std::uint64_t{0};
    std::vector<Hash> hashes;
  };
  // At least `width` hashes of a tile, from the full one or the narrowest partial that has them.
  const std::vector<Hash>* tile(int level, std::uint64_t index, std::size_t width);

  const Fd& dir_;
  std::uint64_t size_;
  std::map<int, Tile> last_;  // by level: proofs ask for neighbours
};

}  // namespace oqto::audit
