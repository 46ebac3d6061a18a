#include "audit/format/segment_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "audit/format/format.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

Status pwrite_all(const Fd& fd, std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno("the log cannot be written");
    offset += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status truncate_to(const Fd& fd, std::uint64_t length) {
  if (::ftruncate(fd.get(), static_cast<off_t>(length)) != 0) {
    return fail_errno("the log cannot be cut back");
  }
  return {};
}

Result<bool> is_zero_from(const Fd& fd, std::uint64_t offset) {
  std::vector<char> bytes(64 * 1024);
  for (;;) {
    const ssize_t n = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) return fail_errno("the log cannot be read");
    if (n == 0) return true;
    if (std::any_of(bytes.begin(), bytes.begin() + n, [](char c) { return c != 0; })) return false;
    offset += static_cast<std::uint64_t>(n);
  }
}

}  // namespace

Result<SegmentFile> SegmentFile::create(const Fd& dir, std::uint64_t first_index, const Fd& spares) {
  const std::string name = segment_name(first_index);
  // The index is nobody else's: there is no file of that name.
  const bool is_spare = ::renameat(spares.get(), kSpareSegment, dir.get(), name.c_str()) == 0;
  auto file = is_spare ? sys::open_beneath(dir, name.c_str(), O_RDWR)
                       : sys::open_beneath(dir, name.c_str(), O_RDWR | O_CREAT | O_EXCL, kSharedFile);
  if (!file) {
    if (is_spare) (void)::unlinkat(dir.get(), name.c_str(), 0);  // or the next one is not named after its first entry
    return std::unexpected(Error{Errc::limit, "a new segment cannot be made", file.error().sys});
  }
  SegmentFile segment(std::move(*file), 0);
  (void)segment.measure();  // what it has already; not knowing that, it asks for it again
  if (const auto room = segment.make_room(0); !room) {
    (void)::unlinkat(dir.get(), name.c_str(), 0);
    return std::unexpected(room.error());
  }
  TRY(segment.sync());
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of the segment directory");
  return segment;
}

Result<SegmentFile> SegmentFile::open(const Fd& dir, std::uint64_t first_index,
                                      std::uint64_t length) {
  SegmentFile segment(TRY(sys::open_beneath(dir, segment_name(first_index).c_str(), O_RDWR)),
                      length);
  TRY(segment.measure());
  if (segment.given_ < length || !TRY(is_zero_from(segment.fd_, length))) TRY(segment.take_back());
  (void)segment.make_room(0);  // if there is none, the first record finds that out
  TRY(segment.sync());
  return segment;
}

Status SegmentFile::measure() {
  constexpr std::uint64_t kBlock = 512;  // the unit of st_blocks, whatever the file system's is
  struct stat facts {};
  if (::fstat(fd_.get(), &facts) != 0) return fail_errno("fstat of the log");
  given_ = static_cast<std::uint64_t>(facts.st_size);
  reserved_ = static_cast<std::uint64_t>(facts.st_blocks) * kBlock;
  return {};
}

bool SegmentFile::is_reserve_due(std::uint64_t bytes, std::uint64_t most) const {
  return std::min(length_ + bytes / 2, most) > std::max(reserved_, given_);
}

void SegmentFile::reserve(std::uint64_t bytes, std::uint64_t most) {
  const std::uint64_t from = std::max(reserved_, given_);
  const std::uint64_t to = std::min(length_ + bytes, most);
  if (to <= from) return;
  const auto length = static_cast<off_t>(to - from);
  // Where there is none of this, or no room, the log grows as it did before.
  if (::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from), length) == 0) reserved_ = to;
}

// Blocks are taken first, since nothing may be lost when there are none; then zeros are written, since
// a block that was never written costs its first fdatasync a commit of the file system's journal.
Status SegmentFile::extend(std::uint64_t to) {
  if (to <= given_) return {};
  const auto from = static_cast<off_t>(given_);
  Status extended;
  if (::fallocate(fd_.get(), 0, from, static_cast<off_t>(to) - from) != 0) {
    if (errno != EOPNOTSUPP) extended = fail_errno("no room");
  }
  if (extended) extended = pwrite_all(fd_, given_, std::string(to - given_, '\0'));
  if (!extended) {
    // Not cut back: that would give away what was reserved. What is there are zeros.
    struct stat facts {};
    if (::fstat(fd_.get(), &facts) == 0) given_ = std::max(given_, static_cast<std::uint64_t>(facts.st_size));
    return std::unexpected(
        Error{Errc::limit, "the audit log is full: its file system has no room", extended.error().sys});
  }
  given_ = to;
  return {};
}

Status SegmentFile::make_room(std::uint64_t bytes) {
  const std::uint64_t need = length_ + bytes + kReserve;
  if (need <= given_ || extend(need + kAhead)) return {};
  return extend(need);
}

// Zeros again behind the end, whatever was written there; with the blocks that it had, if possible.
Status SegmentFile::take_back() {
  TRY(measure());
  if (given_ >= length_ && pwrite_all(fd_, length_, std::string(given_ - length_, '\0'))) return {};
  TRY(truncate_to(fd_, length_));
  given_ = reserved_ = length_;
  (void)make_room(0);
  return {};
}

Status SegmentFile::append(std::string_view bytes, Room room) {
  if (room == Room::usual) {
    TRY(make_room(bytes.size()));
  } else {
    (void)extend(length_ + bytes.size());
  }
  if (const auto written = pwrite_all(fd_, length_, bytes); !written) {
    TRY(take_back());
    return std::unexpected(Error{Errc::limit, written.error().what, written.error().sys});
  }
  length_ += bytes.size();
  given_ = std::max(given_, length_);
  return {};
}

Status SegmentFile::overwrite(std::uint64_t offset, std::string_view bytes) {
  CHECK(offset + bytes.size() <= length_);
  return pwrite_all(fd_, offset, bytes);
}

Status SegmentFile::sync() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno("fdatasync of the log");
  return {};
}

bool SegmentFile::probe() {
  return make_room(kAhead).has_value();
}

Status SegmentFile::touch() {
  constexpr std::size_t kPage = 4096;  // as much as a usual record and its note
  TRY(make_room(kPage));
  if (const auto written = pwrite_all(fd_, length_, std::string(kPage, '\0')); !written) {
    TRY(take_back());
    return std::unexpected(Error{Errc::limit, written.error().what, written.error().sys});
  }
  return sync();
}

Status SegmentFile::finish() {
  TRY(truncate_to(fd_, length_));
  given_ = reserved_ = length_;
  return sync();
}

Result<std::vector<std::string>> list_directory(const Fd& dir) {
  const Fd own = TRY(sys::open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  DIR* stream = ::fdopendir(::fcntl(own.get(), F_DUPFD_CLOEXEC, 0));
  if (stream == nullptr) return fail_errno("fdopendir");
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(stream);
  std::ranges::sort(names);
  return names;
}

Result<std::vector<std::uint64_t>> list_segments(const Fd& dir) {
  std::vector<std::uint64_t> firsts;
  for (const std::string& name : TRY(list_directory(dir))) {
    const auto first = parse_segment_name(name);
    if (!first) return fail(Errc::invalid, "the segment directory holds a file that is no segment");
    firsts.push_back(*first);
  }
  return firsts;
}

Result<std::string> read_segment(const Fd& dir, std::uint64_t first_index) {
  const Fd file = TRY(sys::open_beneath(dir, segment_name(first_index).c_str(), O_RDONLY));
  return sys::read_all(file, kMaxSegment + 2 * kMaxBody);
}

}  // namespace oqto::audit
