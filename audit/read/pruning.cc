#include "audit/read/pruning.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "audit/format/format.h"
#include "audit/format/segment_file.h"
#include "audit/format/tile_store.h"
#include "audit/read/open_entry.h"
#include "audit/read/reader.h"
#include "audit/verify/verify_blobs.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kYoungMs = 3'600'000;
constexpr int kMaxDepth = 12;

Status make_parents(const Fd& dir, const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    if (::mkdirat(dir.get(), path.substr(0, slash).c_str(), kSharedDir) != 0 && errno != EEXIST) {
      return fail_errno("the archive cannot be written");
    }
  }
  return {};
}

Status sync_parent(const Fd& dir, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : path.substr(0, slash);
  const Fd opened = TRY(sys::open_beneath(dir, parent.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fsync(opened.get()) != 0) return fail_errno("fsync of a directory");
  return {};
}

// Durable under its name when it returns. Its size.
Result<std::uint64_t> copy(const Fd& from, const Fd& to, const std::string& path) {
  const std::string content = TRY(read_log_file(from, path, kMaxSegment + 2 * kMaxBody));
  TRY(make_parents(to, path));
  const std::string aside = path + ".part";
  {
    const Fd file = TRY(sys::open_beneath(to, aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC, kSharedFile));
    TRY(sys::write_all(file, content));
    if (::fsync(file.get()) != 0) return fail_errno("fsync in the archive");
  }
  if (::renameat(to.get(), aside.c_str(), to.get(), path.c_str()) != 0) return fail_errno("renameat");
  TRY(sync_parent(to, path));
  return content.size();
}

Status move(const Fd& from, const Fd& to, const std::string& path, Pruned& pruned) {
  pruned.bytes += TRY(copy(from, to, path));
  if (::unlinkat(from.get(), path.c_str(), 0) != 0) return fail_errno("a file of the log cannot be removed");
  return sync_parent(from, path);
}

// Regular files beneath `path`, relative to `dir`.
void list_files(const Fd& dir, const std::string& path, int depth, std::vector<std::string>& files) {
  const auto here = sys::open_beneath(dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!here || depth > kMaxDepth) return;
  const auto names = list_directory(*here);
  for (const std::string& name : names.value_or(std::vector<std::string>())) {
    struct stat facts {};
    if (::fstatat(here->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const std::string inner = path + "/" + name;
    if (S_ISDIR(facts.st_mode)) list_files(dir, inner, depth + 1, files);
    if (S_ISREG(facts.st_mode)) files.push_back(inner);
  }
}

Result<Fd> open_archive(const std::string& archive) {
  if (::mkdir(archive.c_str(), kSharedDir) != 0 && errno != EEXIST) {
    return fail_errno("the archive directory cannot be made");
  }
  return sys::open_dir(archive.c_str());
}

}  // namespace

Result<std::uint64_t> permitted_minimum(const std::string& log) {
  auto reader = TRY(LogReader::open(log));
  BlobNotes notes;
  TRY(reader.read_new([&](std::uint64_t index, std::string_view entry) -> Status {
    if (entry.find("log.prune") != entry.npos) notes.add(index, entry);
    return {};
  }));
  return notes.prune ? notes.prune->minimum : 0;
}

Result<Pruned> prune_to(const std::string& log, const std::string& archive, std::uint64_t minimum) {
  const Fd from = TRY(sys::open_dir(log.c_str()));
  const Fd segments = TRY(sys::open_beneath(from, kSegmentDir, O_RDONLY | O_DIRECTORY));
  const auto firsts = TRY(list_segments(segments));
  const auto above = std::ranges::upper_bound(firsts, minimum);
  if (above == firsts.begin()) return fail(Errc::not_found, "the log begins after this entry already");
  Pruned pruned;
  pruned.minimum = *std::prev(above);
  const Fd to = TRY(open_archive(archive));
  std::vector<std::string> tiles;
  list_files(from, kTileDir, 0, tiles);
  // First what makes the archive verifiable, then what leaves the log: newest last, so that whatever is
  // interrupted leaves a log that begins somewhere.
  for (const std::string& path : tiles) {
    const auto tile = parse_tile_path(path);
    if (tile && tile->level != kEntriesLevel) (void)TRY(copy(from, to, path));
  }
  (void)TRY(copy(from, to, kCheckpointFile));
  for (const std::uint64_t first : firsts) {
    if (first >= pruned.minimum) break;
    TRY(move(from, to, std::string(kSegmentDir) + "/" + segment_name(first), pruned));
    ++pruned.segments;
  }
  for (const std::string& path : tiles) {
    const auto tile = parse_tile_path(path);
    if (!tile || tile->level != kEntriesLevel || tile->width != kTileWidth ||
        (tile->index + 1) * kTileWidth > pruned.minimum) {
      continue;
    }
    TRY(move(from, to, path, pruned));
    ++pruned.bundles;
  }
  return pruned;
}

Result<Pruned> collect_blobs(const std::string& log, const std::string& archive) {
  const Fd from = TRY(sys::open_dir(log.c_str()));
  // Listed before the entries are read: what is stored later is not even looked at.
  std::vector<std::string> files;
  list_files(from, kBlobDir, 0, files);
  std::set<std::string> named;
  auto reader = TRY(LogReader::open(log));
  TRY(reader.read_new([&](std::uint64_t, std::string_view entry) -> Status {
    for (const BlobReference& blob : blobs_of(entry)) named.insert(blob_path(blob.sha256));
    return {};
  }));
  Pruned pruned;
  const std::uint64_t now = sys::now_ms();
  Fd to;
  if (!archive.empty()) to = TRY(open_archive(archive));
  for (const std::string& path : files) {
    struct stat facts {};
    if (named.contains(path) || ::fstatat(from.get(), path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto changed_ms = static_cast<std::uint64_t>(facts.st_mtime) * 1000;
    if (changed_ms + kYoungMs > now) continue;
    if (to) {
      TRY(move(from, to, path, pruned));
    } else {
      pruned.bytes += static_cast<std::uint64_t>(facts.st_size);
      if (::unlinkat(from.get(), path.c_str(), 0) != 0) return fail_errno("a blob cannot be removed");
    }
    ++pruned.blobs;
  }
  return pruned;
}

}  // namespace oqto::audit
