#include <fcntl.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "audit/format/json.h"
#include "audit/format/segment_file.h"
#include "audit/verify/bundle_reader.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

class TileCheck {
 public:
  explicit TileCheck(Verification& verification) : v_(verification) {}

  void check(const std::vector<std::string>& listed) {
    for (const std::string& path : listed) check_file(path);
  }

  // What the checkpoint's readers need: all full tiles, and the partial one it ends in (or any
  // wider).
  void demand(std::uint64_t size) {
    demand_level(kEntriesLevel, size);
    for (int level = 0; level < 8 && size > 0; ++level, size /= kTileWidth) {
      demand_level(level, size);
    }
  }

 private:
  void demand_level(int level, std::uint64_t size) {
    const std::uint64_t full = size / kTileWidth;
    const std::uint64_t from = level == kEntriesLevel ? v_.pruned / kTileWidth : 0;
    for (std::uint64_t index = from; index < full; ++index) {
      if (is_present(level, index, kTileWidth)) continue;
      std::uint64_t last = index;
      while (last + 1 < full && !is_present(level, last + 1, kTileWidth)) ++last;
      v_.find(tile_path(level, index, kTileWidth),
              last == index
                  ? "is missing"
                  : "and all up to " + tile_path(level, last, kTileWidth) + " are missing",
              first_entry(level, index));
      index = last;
    }
    const std::size_t rest = size % kTileWidth;
    const auto wider = present_.lower_bound({level, full, rest});
    const bool has_wider = wider != present_.end() && std::get<0>(*wider) == level &&
                           std::get<1>(*wider) == full;
    if (rest > 0 && !has_wider && !is_there(tile_path(level, full, kTileWidth))) {
      v_.find(tile_path(level, full, rest), "is missing", first_entry(level, full));
    }
  }

  static std::uint64_t first_entry(int level, std::uint64_t index) {
    const unsigned shift = 8 * static_cast<unsigned>(std::max(level, 0) + 1);
    return shift < 64 ? index << shift : 0;
  }

  // Listed, or there by now: a half full tile goes when the full one has come.
  [[nodiscard]] bool is_present(int level, std::uint64_t index, std::size_t width) const {
    return present_.contains({level, index, width}) || is_there(tile_path(level, index, width));
  }
  [[nodiscard]] bool is_there(const std::string& path) const {
    return sys::open_beneath(v_.dir, path.c_str(), O_PATH).has_value();
  }

  void check_file(const std::string& path) {
    const auto tile = parse_tile_path(path);
    if (!tile) return v_.find(printable(path), "does not belong to the log");
    present_.insert({tile->level, tile->index, tile->width});
    if (is_known(*tile)) {
      ++v_.report.files;
      return;
    }
    if (v_.is_complete && !is_covered(*tile)) {
      return v_.find(path, "goes beyond the " + std::to_string(v_.tree.size()) + " entries of the segments",
                     v_.tree.size());
    }
    if (tile->level == kEntriesLevel) return check_bundle(path, *tile);
    const std::size_t expected = tile->width * sizeof(Hash);
    const auto content = read_log_file(v_.dir, path, kTileWidth * sizeof(Hash));
    if (!content && content.error().code == Errc::limit) {
      return v_.find(path, "is longer than a tile", first_entry(tile->level, tile->index));
    }
    if (!content) return unread(path, *tile, content.error());
    ++v_.report.files;
    if (content->size() != expected) {
      return v_.find(path,
                     "has " + std::to_string(content->size()) + " bytes, expected " + std::to_string(expected),
                     first_entry(tile->level, tile->index));
    }
    compare(path, *tile, static_cast<std::size_t>(tile->level), split_hashes(*content));
  }

  // A partial tile that is gone since it was listed has given way to the full one.
  void unread(const std::string& path, const TileName& tile, const Error& error) {
    const bool is_gone = error.sys == ENOENT && tile.width < kTileWidth;
    if (is_gone && is_there(tile_path(tile.level, tile.index, kTileWidth))) return;
    v_.cannot_read(path, error);
  }

  bool is_covered(const TileName& tile) const {
    const auto known = v_.tree.level(static_cast<std::size_t>(std::max(tile.level, 0))).size();
    return tile.index <= known / kTileWidth && tile.index * kTileWidth + tile.width <= known;
  }

  // Compared with the segments already, or before what is to be read.
  bool is_known(const TileName& tile) const {
    if (tile.level > 0 || tile.width != kTileWidth) return false;
    if (tile.level == kEntriesLevel && v_.bundles.contains(tile.index)) return true;
    return tile.index < v_.from / kTileWidth;
  }

  // Piece by piece, and no further than it is as the segments say: what a hostile file costs is bounded by
  // the entries that are really there.
  void check_bundle(const std::string& path, const TileName& tile) {
    auto reader = BundleReader::open(v_.dir, path);
    if (!reader) return unread(path, tile, reader.error());
    ++v_.report.files;
    for (std::size_t i = 0; i < tile.width; ++i) {
      const auto entry = reader->next();
      if (!entry && is_unreadable(entry.error())) return v_.cannot_read(path, entry.error());
      const std::uint64_t at = tile.index * kTileWidth + i;
      if (!entry) {
        return v_.find(path,
                       "holds " + std::to_string(i) + " whole entries and " +
                           std::to_string(reader->left()) + " further bytes, expected " +
                           std::to_string(tile.width) + " entries",
                       at);
      }
      if (!compare(path, {tile.level, tile.index, 1}, 0, {leaf_hash(*entry)}, i)) return;
    }
    if (reader->left() == 0) return;
    v_.find(path,
            "holds " + std::to_string(tile.width) + " whole entries and " +
                std::to_string(reader->left()) + " further bytes, expected " +
                std::to_string(tile.width) + " entries",
            tile.index * kTileWidth + tile.width);
  }

  // `from`: the place in the tile of the first hash. False: it was found to differ.
  bool compare(const std::string& path, const TileName& tile, std::size_t level,
               const std::vector<Hash>& hashes, std::size_t from = 0) {
    if (!v_.is_complete) return true;  // there is nothing certain to compare with; reported already
    const auto known = v_.tree.level(level);
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      const std::uint64_t at = tile.index * kTileWidth + from + i;
      if (hashes[i] == known[at]) continue;
      const std::string what = tile.level == kEntriesLevel
                                   ? "entry " + std::to_string(at) + " differs: its leaf hash is "
                                   : "hash " + std::to_string(i) + " differs: it is ";
      v_.find(path, what + short_hex(hashes[i]) + ", expected " + short_hex(known[at]), at << 8 * level);
      return false;
    }
    return true;
  }

  Verification& v_;
  std::set<std::tuple<int, std::uint64_t, std::size_t>> present_;
};

constexpr int kMaxDepth = 12;

void walk(Verification& v, const std::string& path, int depth, std::vector<std::string>& files) {
  const auto dir = sys::open_beneath(v.dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!dir && dir.error().sys == ENOENT) return;  // gone since it was listed
  const bool is_file = !dir && !is_unreadable(dir.error());
  if (is_file) return files.push_back(path);
  const auto names = dir ? list_directory(*dir) : std::unexpected(dir.error());
  v.has_unread_tiles = v.has_unread_tiles || !names;
  if (!names) return v.cannot_read(printable(path), names.error());
  if (depth > kMaxDepth) return v.find(printable(path), "does not belong to the log");
  for (const std::string& name : *names) walk(v, path + "/" + name, depth + 1, files);
}

}  // namespace

std::vector<std::string> list_tiles(Verification& verification) {
  std::vector<std::string> files;
  walk(verification, kTileDir, 0, files);
  return files;
}

void verify_tiles(Verification& verification, const std::vector<std::string>& listed) {
  TileCheck check(verification);
  check.check(listed);
  if (!verification.report.checkpoint || verification.has_unread_tiles) return;
  check.demand(std::min(verification.report.checkpoint->size, verification.tree.size()));
}

}  // namespace oqto::audit
