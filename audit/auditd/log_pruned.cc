// The beginning of a log whose oldest segments were moved to an archive: its hashes are in the tiles.
// They need not be believed: the next batch has a root that was signed.
#include "audit/auditd/log.h"
#include "audit/format/tile_store.h"

namespace oqto::audit {

Status Log::begin_pruned(std::uint64_t first, Scan& scan) {
  const auto leaves = TileStore(dir_, first).leaves(0, first);
  if (leaves.empty()) return fail(Errc::denied, "segments are missing before this one");
  // The bundle that the first segment begins in the middle of.
  const std::uint64_t whole = first - first % kTileWidth;
  std::string bundle;
  if (whole < first) {
    for (std::size_t width = first % kTileWidth; bundle.empty() && width <= kTileWidth; ++width) {
      auto file = read_log_file(dir_, tile_path(kEntriesLevel, first / kTileWidth, width), kMaxTileBytes);
      if (file) bundle = std::move(*file);
    }
  }
  const SplitBody kept = split_body(bundle);
  if (kept.entries.size() < first - whole) {
    return fail(Errc::denied, "the entry bundle that the first segment begins in is missing");
  }
  for (std::uint64_t index = 0; index < first; ++index) {
    if (tree_.size() == scan.remembered.size) scan.at_remembered = tree_;
    if (tree_.size() >= scan.remembered.size) scan.after.push_back(leaves[index]);
    tree_.append(leaves[index]);
    if (index < whole) {
      tiles_.append_hash_only(leaves[index]);
      write_full_tiles();
    } else {
      tiles_.append(kept.entries[index - whole], leaves[index]);
    }
  }
  tiled_ = first;
  return {};
}

}  // namespace oqto::audit
