#include "audit/tiles.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "audit/format.h"
#include "audit/segment_file.h"
#include "audit/tree.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kTmpFile = "tmp/new";

Status make_parents(const Fd& dir, const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    if (::mkdirat(dir.get(), path.substr(0, slash).c_str(), kSharedDir) != 0 && errno != EEXIST) {
      return fail_errno("mkdirat in the log directory");
    }
  }
  return {};
}

bool holds(const Fd& dir, const std::string& path, std::string_view content) {
  const auto file = sys::open_beneath(dir, path.c_str(), O_RDONLY);
  if (!file) return false;
  const auto found = sys::read_all(*file, content.size());
  return found && *found == content;
}

// Leaves a file alone that is right already: after a restart nearly all of them are. Nothing waits for
// the disk here, since commits would wait behind it; what a power cut takes, the next start makes again.
Status put_file(const Fd& dir, const std::string& path, std::string_view content) {
  if (holds(dir, path, content)) return {};
  {
    const Fd file = TRY(sys::open_beneath(dir, kTmpFile, O_WRONLY | O_CREAT | O_TRUNC, kSharedFile));
    TRY(sys::write_all(file, content));
  }
  if (::renameat(dir.get(), kTmpFile, dir.get(), path.c_str()) == 0) return {};
  if (errno != ENOENT) return fail_errno("renameat in the log directory");
  TRY(make_parents(dir, path));
  if (::renameat(dir.get(), kTmpFile, dir.get(), path.c_str()) != 0) {
    return fail_errno("renameat in the log directory");
  }
  return {};
}

// A partial tile is the beginning of every wider one.
bool begins(const Fd& partials, const std::string& name, std::string_view whole) {
  const auto file = sys::open_beneath(partials, name.c_str(), O_RDONLY);
  const auto found = file ? sys::read_all(*file, whole.size()) : std::unexpected(file.error());
  return found && !found->empty() && whole.starts_with(*found);
}

// Removes the partial tiles in `path`, a `.p` directory, but for the `keep` widest; of these too, if
// `whole` is given, what is no beginning of it: a power cut can leave files without their content.
Status prune(const Fd& dir, const std::string& path, std::size_t keep,
             std::optional<std::string_view> whole = {}) {
  const auto partials = sys::open_beneath(dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!partials) return {};  // most tiles were never published half full
  std::vector<std::string> names = TRY(list_directory(*partials));
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;  // widest first
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i < keep && (!whole || begins(*partials, names[i], *whole))) continue;
    if (::unlinkat(partials->get(), names[i].c_str(), 0) != 0) return fail_errno("unlinkat");
  }
  if (keep == 0 && ::unlinkat(dir.get(), path.c_str(), AT_REMOVEDIR) != 0) {
    return fail_errno("unlinkat of a directory");
  }
  return {};
}

std::string concatenate(const std::vector<Hash>& hashes) {
  std::string bytes;
  for (const Hash& hash : hashes) bytes += as_text(hash);
  return bytes;
}

}  // namespace

void Tiles::append(std::string_view entry, const Hash& leaf) {
  append_entry(bundle_, entry);
  if (levels_[0].hashes.size() + 1 == kTileWidth) {
    full_.push_back({kEntriesLevel, levels_[0].index, std::exchange(bundle_, {})});
  }
  append_hash(0, leaf);
}

void Tiles::append_hash(std::size_t level, const Hash& hash) {
  if (level == kLevels) return;  // beyond 256^8 entries
  Level& here = levels_[level];
  here.hashes.push_back(hash);
  if (here.hashes.size() < kTileWidth) return;
  const Hash parent = root_of(here.hashes);
  full_.push_back({static_cast<int>(level), here.index++, concatenate(here.hashes)});
  here.hashes.clear();
  append_hash(level + 1, parent);
}

Status Tiles::write_full(const Fd& log_dir, std::size_t max_files) {
  for (; max_files > 0 && !full_.empty(); --max_files) {
    const File& file = full_.front();
    const std::string path = tile_path(file.level, file.index, kTileWidth);
    TRY(put_file(log_dir, path, file.content));
    TRY(prune(log_dir, path + ".p", 0));
    full_.pop_front();
  }
  return {};
}

Status Tiles::write_partial(const Fd& log_dir, int level, std::uint64_t index, std::size_t width,
                            std::string_view content) const {
  TRY(put_file(log_dir, tile_path(level, index, width), content));
  return prune(log_dir, tile_path(level, index, kTileWidth) + ".p", kKeptPartials,
               is_published_ ? std::nullopt : std::optional(content));
}

Status Tiles::publish(const Fd& log_dir, std::string_view note) {
  TRY(write_full(log_dir, std::numeric_limits<std::size_t>::max()));
  for (std::size_t level = 0; level < kLevels; ++level) {
    const Level& here = levels_[level];
    if (here.hashes.empty()) continue;
    TRY(write_partial(log_dir, static_cast<int>(level), here.index, here.hashes.size(),
                      concatenate(here.hashes)));
  }
  if (!levels_[0].hashes.empty()) {
    TRY(write_partial(log_dir, kEntriesLevel, levels_[0].index, levels_[0].hashes.size(), bundle_));
  }
  TRY(put_file(log_dir, kCheckpointFile, note));
  is_published_ = true;
  return {};
}

}  // namespace oqto::audit
