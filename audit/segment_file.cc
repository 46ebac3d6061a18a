#include "audit/segment_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "audit/format.h"
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

}  // namespace

Result<SegmentFile> SegmentFile::create(const Fd& dir, std::uint64_t first_index) {
  auto file =
      sys::open_beneath(dir, segment_name(first_index).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!file)
    return std::unexpected(Error{Errc::limit, "a new segment cannot be made", file.error().sys});
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of the segment directory");
  return SegmentFile(std::move(*file), 0);
}

Result<SegmentFile> SegmentFile::open(const Fd& dir, std::uint64_t first_index,
                                      std::uint64_t length) {
  SegmentFile segment(TRY(sys::open_beneath(dir, segment_name(first_index).c_str(), O_RDWR)),
                      length);
  TRY(truncate_to(segment.fd_, length));
  TRY(segment.sync());
  return segment;
}

Status SegmentFile::append(std::string_view bytes) {
  if (const auto written = pwrite_all(fd_, length_, bytes); !written) {
    TRY(truncate_to(fd_, length_));
    return std::unexpected(Error{Errc::limit, written.error().what, written.error().sys});
  }
  length_ += bytes.size();
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
  const std::string zeros(kProbe, '\0');
  const bool room = pwrite_all(fd_, length_, zeros).has_value();
  return truncate_to(fd_, length_).has_value() && room;
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
