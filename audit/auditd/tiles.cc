#include "audit/auditd/tiles.h"

#include <utility>

#include "audit/format/tree.h"

namespace oqto::audit {
namespace {

std::string concatenate(const std::vector<Hash>& hashes) {
  std::string bytes;
  for (const Hash& hash : hashes) bytes += as_text(hash);
  return bytes;
}

}  // namespace

void Tiles::append(std::string_view entry, const Hash& leaf) {
  append_entry(bundle_, entry);
  if (levels_[0].hashes.size() + 1 == kTileWidth) {
    full_.push_back({kEntriesLevel, levels_[0].index, kTileWidth, std::exchange(bundle_, {})});
  }
  append_hash(0, leaf);
}

void Tiles::append_hash(std::size_t level, const Hash& hash) {
  if (level == kLevels) return;  // beyond 256^8 entries
  Level& here = levels_[level];
  here.hashes.push_back(hash);
  if (here.hashes.size() < kTileWidth) return;
  const Hash parent = root_of(here.hashes);
  full_.push_back({static_cast<int>(level), here.index++, kTileWidth, concatenate(here.hashes)});
  here.hashes.clear();
  append_hash(level + 1, parent);
}

std::vector<TileFile> Tiles::partials() const {
  std::vector<TileFile> files;
  for (std::size_t level = 0; level < kLevels; ++level) {
    const Level& here = levels_[level];
    if (here.hashes.empty()) continue;
    files.push_back({static_cast<int>(level), here.index, here.hashes.size(), concatenate(here.hashes)});
  }
  if (!levels_[0].hashes.empty()) {
    files.push_back({kEntriesLevel, levels_[0].index, levels_[0].hashes.size(), bundle_});
  }
  return files;
}

}  // namespace oqto::audit
