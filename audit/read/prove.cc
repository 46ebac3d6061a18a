#include "audit/read/prove.h"

#include <fcntl.h>

#include "audit/format/format.h"
#include "audit/format/proof.h"
#include "audit/format/segment_file.h"
#include "audit/format/tile_store.h"
#include "audit/format/tree.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxNoteFile = 64 * 1024;

NodeSource nodes_of(TileStore& tiles) {
  return [&tiles](unsigned level, std::uint64_t index) { return tiles.node(level, index); };
}

std::unexpected<Error> lacking() {
  return fail(Errc::not_found, "hash tiles are missing");
}

}  // namespace

Result<Published> read_published(const Fd& log, const VerifierKey& key) {
  Published published;
  published.note = TRY(read_log_file(log, kCheckpointFile, kMaxNoteFile));
  published.checkpoint = TRY(verify_checkpoint(published.note, key));
  return published;
}

Result<Seals> make_seals(const Fd& log, const std::string& note) {
  const auto checkpoint = read_checkpoint(note);
  if (!checkpoint) return fail(Errc::bad_message, "no checkpoint");
  const Fd segments = TRY(sys::open_beneath(log, kSegmentDir, O_RDONLY | O_DIRECTORY));
  TileStore tiles(log, checkpoint->size);
  const NodeSource node = nodes_of(tiles);
  Seals made{{}, {}, note};
  std::uint64_t at = 0;
  for (const std::uint64_t first : TRY(list_segments(segments))) {
    if (first >= checkpoint->size) break;
    KeyChain claims;
    claims.add_claims(TRY(read_segment(segments, first)));
    for (const EpochKeys& claim : claims.links()) {
      if (claim.index < at || claim.index >= checkpoint->size) continue;
      auto hashes = prove_growth(at, claim.index, node);
      if (!hashes) return lacking();
      made.seals.push_back({claim.index, TRY(read_entry(log, claim.index, checkpoint->size)),
                            std::move(*hashes)});
      at = claim.index + 1;
    }
  }
  auto hashes = prove_growth(at, checkpoint->size, node);
  if (!hashes) return lacking();
  made.hashes = std::move(*hashes);
  return made;
}

Result<std::string> read_entry(const Fd& log, std::uint64_t index, std::uint64_t tree_size) {
  const std::uint64_t tile = index / kTileWidth;
  const std::size_t place = index % kTileWidth;
  auto bundle = read_log_file(log, tile_path(kEntriesLevel, tile, kTileWidth), kMaxTileBytes);
  if (!bundle) {
    const auto width = static_cast<std::size_t>(tree_size - tile * kTileWidth);
    for (std::size_t w = width; !bundle && w < kTileWidth; ++w) {
      bundle = read_log_file(log, tile_path(kEntriesLevel, tile, w), kMaxTileBytes);
    }
  }
  if (!bundle) return fail(Errc::not_found, "the entry's bundle is missing");
  const SplitBody split = split_body(*bundle);
  if (split.entries.size() <= place) return fail(Errc::bad_message, "the entry's bundle is damaged");
  return std::string(split.entries[place]);
}

Result<InclusionProof> make_inclusion(const Fd& log, const Published& tree, std::uint64_t index) {
  const std::uint64_t size = tree.checkpoint.size;
  if (index >= size) return fail(Errc::limit, "the published checkpoint does not cover this entry");
  InclusionProof proof;
  proof.index = index;
  proof.note = tree.note;
  proof.extra = TRY(read_entry(log, index, size));
  TileStore tiles(log, size);
  auto hashes = prove_inclusion(index, size, nodes_of(tiles));
  if (!hashes) return lacking();
  proof.hashes = std::move(*hashes);
  if (!verify_inclusion(index, size, leaf_hash(*proof.extra), tree.checkpoint.root, proof.hashes)) {
    return fail(Errc::denied, "entry, tiles and checkpoint do not fit together");
  }
  return proof;
}

Result<ConsistencyProof> make_consistency(const Fd& log, const Published& tree,
                                          std::uint64_t old_size) {
  const std::uint64_t size = tree.checkpoint.size;
  if (old_size > size) return fail(Errc::limit, "the published checkpoint is of a smaller tree");
  TileStore tiles(log, size);
  const NodeSource node = nodes_of(tiles);
  const auto old_root = tree_root(old_size, node);
  auto hashes = prove_consistency(old_size, size, node);
  if (!old_root || !hashes) return lacking();
  if (!verify_prefix(old_size, *old_root, size, tree.checkpoint.root, *hashes)) {
    return fail(Errc::denied, "the tiles and the checkpoint do not fit together");
  }
  return ConsistencyProof{old_size, std::move(*hashes), tree.note};
}

}  // namespace oqto::audit
