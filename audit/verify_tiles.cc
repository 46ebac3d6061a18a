#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "audit/json.h"
#include "audit/segment_file.h"
#include "audit/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

Result<std::string> read_file(const Fd& dir, const std::string& path, std::size_t max) {
  const Fd file = TRY(sys::open_beneath(dir, path.c_str(), O_RDONLY | O_NONBLOCK));
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, "no regular file");
  }
  return sys::read_all(file, max);
}

std::vector<Hash> split_hashes(std::string_view bytes) {
  std::vector<Hash> hashes(bytes.size() / sizeof(Hash));
  if (!hashes.empty()) std::memcpy(hashes.data(), bytes.data(), hashes.size() * sizeof(Hash));
  return hashes;
}

class TileCheck {
 public:
  explicit TileCheck(Verification& verification) : v_(verification) {
    levels_.push_back(v_.leaves);
    while (levels_.back().size() >= kTileWidth) {
      const std::span<const Hash> below(levels_.back());
      std::vector<Hash> level;
      for (std::size_t i = 0; i + kTileWidth <= below.size(); i += kTileWidth) {
        level.push_back(root_of(below.subspan(i, kTileWidth)));
      }
      levels_.push_back(std::move(level));
    }
  }

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
    for (std::uint64_t index = 0; index < size / kTileWidth; ++index) {
      demand_tile(level, index, kTileWidth);
    }
    if (const std::size_t rest = size % kTileWidth; rest > 0) {
      demand_tile(level, size / kTileWidth, rest);
    }
  }

  void demand_tile(int level, std::uint64_t index, std::size_t width) {
    if (present_.contains({level, index, width}) || present_.contains({level, index, kTileWidth})) {
      return;
    }
    v_.find(tile_path(level, index, width), "is missing");
  }

  void check_file(const std::string& path) {
    const auto tile = parse_tile_path(path);
    if (!tile) return v_.find(printable(path), "does not belong to the log");
    const auto content = read_file(v_.dir, path, kMaxTileBytes);
    if (!content) return v_.find(path, std::string("cannot be read: ") + content.error().what);
    ++v_.report.files;
    present_.insert({tile->level, tile->index, tile->width});
    if (tile->level == kEntriesLevel) return check_bundle(path, *tile, *content);
    if (content->size() != tile->width * sizeof(Hash)) {
      return v_.find(path, "has " + std::to_string(content->size()) + " bytes, expected " +
                               std::to_string(tile->width * sizeof(Hash)));
    }
    compare(path, *tile, static_cast<std::size_t>(tile->level), split_hashes(*content));
  }

  void check_bundle(const std::string& path, const TileName& tile, std::string_view content) {
    const SplitBody split = split_body(content);
    std::vector<Hash> hashes;
    for (const std::string_view entry : split.entries) hashes.push_back(leaf_hash(entry));
    const std::size_t findings = v_.report.findings.size();
    if (hashes.size() > tile.width) hashes.resize(tile.width);
    compare(path, tile, 0, hashes);
    if (v_.report.findings.size() != findings) return;
    if (split.entries.size() != tile.width || !split.rest.empty()) {
      v_.find(path, "holds " + std::to_string(split.entries.size()) + " whole entries and " +
                        std::to_string(split.rest.size()) + " further bytes, expected " +
                        std::to_string(tile.width) + " entries");
    }
  }

  void compare(const std::string& path, const TileName& tile, std::size_t level,
               const std::vector<Hash>& hashes) {
    const std::size_t known = level < levels_.size() ? levels_[level].size() : 0;
    if (tile.index >= known / kTileWidth + 1 || tile.index * kTileWidth + tile.width > known) {
      if (v_.is_complete)
        v_.find(path,
                "goes beyond the " + std::to_string(v_.leaves.size()) + " entries of the segments");
      return;
    }
    if (!v_.is_complete) return;  // there is nothing certain to compare with; reported already
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      const std::uint64_t at = tile.index * kTileWidth + i;
      const Hash& expected = levels_[level][at];
      if (hashes[i] == expected) continue;
      const std::string what = tile.level == kEntriesLevel
                                   ? "entry " + std::to_string(at) + " differs: its leaf hash is "
                                   : "hash " + std::to_string(i) + " differs: it is ";
      return v_.find(path, what + short_hex(hashes[i]) + ", expected " + short_hex(expected));
    }
  }

  Verification& v_;
  std::vector<std::vector<Hash>> levels_;
  std::set<std::tuple<int, std::uint64_t, std::size_t>> present_;
};

}  // namespace

std::vector<Hash> hashes_from_tiles(const Fd& dir, std::uint64_t from, std::uint64_t to) {
  std::vector<Hash> hashes;
  while (from < to) {
    const std::uint64_t index = from / kTileWidth;
    const std::size_t offset = from % kTileWidth;
    const std::size_t end = std::min<std::uint64_t>(kTileWidth, to - index * kTileWidth);
    // The full tile, or the narrowest partial one that reaches far enough.
    auto content = read_file(dir, tile_path(0, index, kTileWidth), kMaxTileBytes);
    for (std::size_t width = end; !content && width < kTileWidth; ++width) {
      content = read_file(dir, tile_path(0, index, width), kMaxTileBytes);
    }
    const auto tile = content ? split_hashes(*content) : std::vector<Hash>();
    if (tile.size() < end) return {};
    hashes.insert(hashes.end(), tile.begin() + static_cast<std::ptrdiff_t>(offset),
                  tile.begin() + static_cast<std::ptrdiff_t>(end));
    from = index * kTileWidth + end;
  }
  return hashes;
}

void verify_tiles(Verification& verification) {
  TileCheck check(verification);
  check.walk(kTileDir, 0);
  if (verification.report.checkpoint) check.demand(verification.report.checkpoint->size);
}

}  // namespace oqto::audit
