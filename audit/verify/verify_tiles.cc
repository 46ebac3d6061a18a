#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include "audit/format/json.h"
#include "audit/format/segment_file.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

class TileCheck {
 public:
  explicit TileCheck(Verification& verification) : v_(verification) {}

  void walk(const std::string& path, int depth) {
    const auto dir = sys::open_beneath(v_.dir, path.c_str(), O_RDONLY | O_DIRECTORY);
    if (!dir) return check_file(path);
    const auto names = list_directory(*dir);
    if (!names || depth > kMaxDepth) return v_.find(printable(path), "does not belong to the log");
    for (const std::string& name : *names) walk(path + "/" + name, depth + 1);
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
  static constexpr int kMaxDepth = 12;

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
    if (rest > 0 && !has_wider) {
      v_.find(tile_path(level, full, rest), "is missing", first_entry(level, full));
    }
  }

  static std::uint64_t first_entry(int level, std::uint64_t index) {
    const unsigned shift = 8 * static_cast<unsigned>(std::max(level, 0) + 1);
    return shift < 64 ? index << shift : 0;
  }

  [[nodiscard]] bool is_present(int level, std::uint64_t index, std::size_t width) const {
    return present_.contains({level, index, width});
  }

  void check_file(const std::string& path) {
    const auto tile = parse_tile_path(path);
    if (!tile) return v_.find(printable(path), "does not belong to the log");
    present_.insert({tile->level, tile->index, tile->width});
    if (is_known(*tile)) {
      ++v_.report.files;
      return;
    }
    const auto content = read_log_file(v_.dir, path, kMaxTileBytes);
    if (!content) return v_.find(path, std::string("cannot be read: ") + content.error().what);
    ++v_.report.files;
    if (tile->level == kEntriesLevel) return check_bundle(path, *tile, *content);
    if (content->size() != tile->width * sizeof(Hash)) {
      return v_.find(path,
                     "has " + std::to_string(content->size()) + " bytes, expected " +
                         std::to_string(tile->width * sizeof(Hash)),
                     first_entry(tile->level, tile->index));
    }
    compare(path, *tile, static_cast<std::size_t>(tile->level), split_hashes(*content));
  }

  // Compared with the segments already, or before what is to be read.
  bool is_known(const TileName& tile) const {
    if (tile.level > 0 || tile.width != kTileWidth) return false;
    if (tile.level == kEntriesLevel && v_.bundles.contains(tile.index)) return true;
    return tile.index < v_.from / kTileWidth;
  }

  void check_bundle(const std::string& path, const TileName& tile, std::string_view content) {
    const SplitBody split = split_body(content);
    std::vector<Hash> hashes;
    for (const std::string_view entry : split.entries) hashes.push_back(leaf_hash(entry));
    const std::uint64_t defects = v_.report.defects;
    if (hashes.size() > tile.width) hashes.resize(tile.width);
    compare(path, tile, 0, hashes);
    if (v_.report.defects != defects) return;
    if (split.entries.size() != tile.width || !split.rest.empty()) {
      v_.find(path,
              "holds " + std::to_string(split.entries.size()) + " whole entries and " +
                  std::to_string(split.rest.size()) + " further bytes, expected " +
                  std::to_string(tile.width) + " entries",
              tile.index * kTileWidth + std::min(split.entries.size(), tile.width));
    }
  }

  void compare(const std::string& path, const TileName& tile, std::size_t level,
               const std::vector<Hash>& hashes) {
    if (!v_.is_complete) return;  // there is nothing certain to compare with; reported already
    const auto known = v_.tree.level(level);
    if (tile.index > known.size() / kTileWidth ||
        tile.index * kTileWidth + tile.width > known.size()) {
      return v_.find(
          path, "goes beyond the " + std::to_string(v_.tree.size()) + " entries of the segments",
          v_.tree.size());
    }
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      const std::uint64_t at = tile.index * kTileWidth + i;
      if (hashes[i] == known[at]) continue;
      const std::string what = tile.level == kEntriesLevel
                                   ? "entry " + std::to_string(at) + " differs: its leaf hash is "
                                   : "hash " + std::to_string(i) + " differs: it is ";
      return v_.find(path, what + short_hex(hashes[i]) + ", expected " + short_hex(known[at]),
                     at << 8 * level);
    }
  }

  Verification& v_;
  std::set<std::tuple<int, std::uint64_t, std::size_t>> present_;
};

}  // namespace

void verify_tiles(Verification& verification) {
  TileCheck check(verification);
  check.walk(kTileDir, 0);
  if (!verification.report.checkpoint) return;
  check.demand(std::min(verification.report.checkpoint->size, verification.tree.size()));
}

}  // namespace oqto::audit
