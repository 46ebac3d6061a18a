#include "audit/read/copying.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/format/format.h"
#include "audit/format/segment_file.h"
#include "audit/read/reader.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr int kMaxDepth = 12;
constexpr std::size_t kPiece = 256 * 1024;

class Copier {
 public:
  Copier(const Fd& from, const Fd& to) : from_(from), to_(to) {}

  // Regular files beneath, those that are not there yet. What is gone since it was listed is left out.
  Status tree(const std::string& path, int depth = 0) {
    const auto dir = sys::open_beneath(from_, path.c_str(), O_RDONLY | O_DIRECTORY);
    if (!dir && (dir.error().sys == ENOENT || dir.error().sys == ENOTDIR)) return {};
    if (!dir) return std::unexpected(dir.error());
    if (depth > kMaxDepth) return fail(Errc::invalid, "directories too deep for a log");
    if (::mkdirat(to_.get(), path.c_str(), kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdirat");
    for (const std::string& name : TRY(list_directory(*dir))) {
      struct stat facts {};
      const std::string inner = path + "/" + name;
      if (::fstatat(dir->get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (S_ISDIR(facts.st_mode)) TRY(tree(inner, depth + 1));
      if (S_ISREG(facts.st_mode)) TRY(file(inner));
    }
    return {};
  }

  Status file(const std::string& path) {
    const auto in = sys::open_beneath(from_, path.c_str(), O_RDONLY | O_NONBLOCK);
    if (!in && in.error().sys == ENOENT) return {};
    if (!in) return std::unexpected(in.error());
    auto out = sys::open_beneath(to_, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, kSharedFile);
    if (!out && out.error().sys == EEXIST) return {};  // copied already
    if (!out) return std::unexpected(out.error());
    ++copied.files;
    std::string piece(kPiece, '\0');
    for (;;) {
      const ssize_t n = ::read(in->get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read");
      if (n == 0) return {};
      const std::string_view bytes(piece.data(), static_cast<std::size_t>(n));
      TRY(sys::write_all(*out, bytes));
      copied.bytes += bytes.size();
    }
  }

  Copied copied;

 private:
  const Fd& from_;
  const Fd& to_;
};

// As they are listed once: what is begun later is not of this copy. Half a batch at the end of the newest one,
// which auditd is writing, is not copied as it is.
Status copy_segments(Copier& copier, const Fd& from, const Fd& to) {
  const Fd dir = TRY(sys::open_beneath(from, kSegmentDir, O_RDONLY | O_DIRECTORY));
  const auto firsts = TRY(list_segments(dir));
  if (firsts.empty()) return fail(Errc::not_found, "no audit log: `segment` is empty");
  if (::mkdirat(to.get(), kSegmentDir, kSharedDir) != 0) return fail_errno("mkdirat");
  for (const std::uint64_t first : firsts) {
    const std::string path = std::string(kSegmentDir) + "/" + segment_name(first);
    if (first != firsts.back()) {
      TRY(copier.file(path));
      continue;
    }
    const std::string data = TRY(read_newest_segment(from, path));
    const Fd out = TRY(sys::open_beneath(to, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, kSharedFile));
    TRY(sys::write_all(out, data));
    ++copier.copied.files;
    copier.copied.bytes += data.size();
  }
  return {};
}

}  // namespace

Result<Copied> copy_log(const std::string& from_path, const std::string& to_path, bool with_keys) {
  const Fd from = TRY(sys::open_dir(from_path.c_str()));
  if (::mkdir(to_path.c_str(), kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdir");
  const Fd to = TRY(sys::open_dir(to_path.c_str()));
  if (!TRY(list_directory(to)).empty()) return fail(Errc::invalid, "the copy's directory is not empty");
  Copier copier(from, to);
  TRY(copier.file(kCheckpointFile));
  // Twice: a half full tile that went meanwhile has given way to a full one, which is found then.
  TRY(copier.tree(kTileDir));
  TRY(copier.tree(kTileDir));
  TRY(copy_segments(copier, from, to));
  TRY(copier.tree(kBlobDir));
  if (with_keys) TRY(copier.tree(kKeysDir));
  return copier.copied;
}

}  // namespace oqto::audit
