// What the log has when others have filled the disk: blocks behind the end of the newest segment,
// an empty file with blocks for the next one, and files for keys. All of it is taken while there is
// plenty, since room that is given back on a full disk is gone to whoever asks first.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "audit/auditd/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::uint64_t kEvery = 16;  // of the file system, at most, for each of the two segments
constexpr std::uint64_t kFewFiles = 64;
constexpr std::uint64_t kTryEveryMs = 1000;
constexpr std::uint64_t kKeysEveryMs = 60'000;

struct DiskRoom {
  std::uint64_t free = 0;  // bytes
  std::uint64_t whole = 0;
  bool has_files = false;
};

DiskRoom room_of(const Fd& dir) {
  struct statvfs facts {};
  if (::fstatvfs(dir.get(), &facts) != 0) return {};
  // Some file systems make files as they are needed, and tell of none.
  const bool has_files = facts.f_files == 0 || facts.f_favail >= kFewFiles;
  return {facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize, has_files};
}

bool exists(const Fd& tmp, const char* name) {
  struct stat facts {};
  return ::fstatat(tmp.get(), name, &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

bool make_spare(const Fd& tmp, const char* name, std::uint64_t bytes) {
  const auto file = sys::open_beneath(tmp, name, O_WRONLY | O_CREAT, 0640);
  if (!file) return false;
  struct stat facts {};
  if (::fstat(file->get(), &facts) == 0 &&
      static_cast<std::uint64_t>(facts.st_blocks) * 512 >= bytes)
    return true;
  if (::fallocate(file->get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return true;
  (void)::unlinkat(tmp.get(), name, 0);
  return false;
}

// Nothing is written to it before it is a key's: the name alone, and a block for its 32 bytes.
void make_spare_keys(const Fd& tmp) {
  for (int i = 0; i < kSpareKeys; ++i) {
    (void)make_spare(tmp, (std::string(kSpareKey) + std::to_string(i)).c_str(), 1);
  }
}

}  // namespace

std::uint64_t Log::most_of_segment() const {
  constexpr std::uint64_t kBeyond = 2
                                    << 20;  // the batch that ends it may be longer, rarely by more
  return options_.segment_bytes + kBeyond;
}

Log::Space Log::space(bool was_tight) const {
  const DiskRoom room = room_of(dir_);
  const std::uint64_t want = std::min(options_.segment_bytes, room.whole / kEvery);
  return {.is_tight = room.free < (was_tight ? want / 2 : want / 4) || !room.has_files,
          .left = segment_.reserved() + (has_spare_ ? want : 0),
          .whole = 2 * want};
}

void Log::keep_reserve() {
  const std::uint64_t now = sys::monotonic_ms();
  if (reserve_tried_ms_ != 0 && now - reserve_tried_ms_ < kTryEveryMs) return;
  reserve_tried_ms_ = now;
  const DiskRoom room = room_of(dir_);
  const std::uint64_t want = std::min(options_.segment_bytes, room.whole / kEvery);
  has_spare_ = exists(tmp_, kSpareSegment);  // perhaps of the process before this one
  // A file system may give the half of what was asked for before it says that there is no more.
  if (room.free < 2 * want || !room.has_files) return;
  if (segment_.is_reserve_due(want, most_of_segment())) segment_.reserve(want, most_of_segment());
  if (!has_spare_) has_spare_ = make_spare(tmp_, kSpareSegment, want);
  if (keys_tried_ms_ != 0 && now - keys_tried_ms_ < kKeysEveryMs) return;
  keys_tried_ms_ = now;
  make_spare_keys(tmp_);
}

}  // namespace oqto::audit
