#include "audit/read/copying.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "audit/format/format.h"
#include "audit/format/segment_file.h"
#include "audit/format/tenant_keys.h"
#include "audit/read/reader.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr int kMaxDepth = 12;
constexpr std::size_t kPiece = 256 * 1024;
constexpr int kMaxRounds = 16;
constexpr std::size_t kDayLength = 10;

std::optional<std::uint32_t> parse_tenant(std::string_view text) {
  std::uint32_t tenant = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tenant);
  const bool is_number = error == std::errc{} && end == text.data() + text.size();
  return is_number ? std::optional(tenant) : std::nullopt;
}

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

  Status drop(const std::string& path) {
    struct stat facts {};
    if (::fstatat(to_.get(), path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("fstatat");
    if (::unlinkat(to_.get(), path.c_str(), 0) != 0) return fail_errno("unlinkat");
    --copied.files;
    copied.bytes -= static_cast<std::uint64_t>(facts.st_size);
    return {};
  }

  Copied copied;

 private:
  const Fd& from_;
  const Fd& to_;
};

// As they are listed once: what is begun later is not of this copy. Half a batch at the end of the newest one,
// which auditd is writing, is not copied as it is. Called again, it goes on where it ended.
Status copy_segments(Copier& copier, const Fd& from, const Fd& to, std::string& newest) {
  const Fd dir = TRY(sys::open_beneath(from, kSegmentDir, O_RDONLY | O_DIRECTORY));
  const auto firsts = TRY(list_segments(dir));
  if (firsts.empty()) return fail(Errc::not_found, "no audit log: `segment` is empty");
  if (::mkdirat(to.get(), kSegmentDir, kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdirat");
  if (!newest.empty()) TRY(copier.drop(newest));
  for (const std::uint64_t first : firsts) {
    const std::string path = std::string(kSegmentDir) + "/" + segment_name(first);
    if (first != firsts.back()) {
      TRY(copier.file(path));
      continue;
    }
    const std::string data = TRY(read_newest_segment(from, path));
    const Fd out = TRY(sys::open_beneath(to, path.c_str(), O_WRONLY | O_CREAT | O_EXCL, kSharedFile));
    TRY(sys::write_all(out, data));
    newest = path;
    ++copier.copied.files;
    copier.copied.bytes += data.size();
  }
  return {};
}

bool is_there(const Fd& dir, const std::string& path) {
  struct stat facts {};
  return ::fstatat(dir.get(), path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<std::uint64_t> size_of(const Fd& dir, const std::string& path) {
  struct stat facts {};
  if (::fstatat(dir.get(), path.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("fstatat");
  return static_cast<std::uint64_t>(facts.st_size);
}

// One tenant's. auditd marks a key before it destroys it: one that is marked when it has been read is not kept, and
// one that was copied before is destroyed in the copy as well. Returns how many are newly known to be erased.
Result<std::uint64_t> copy_keys_of(Copier& copier, const Fd& from, const Fd& to, const std::string& tenant) {
  const std::string path = std::string(kKeysDir) + "/" + tenant;
  const auto number = parse_tenant(tenant);
  const auto dir = sys::open_beneath(from, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!number || !dir) return 0;
  if (::mkdirat(to.get(), path.c_str(), kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdirat");
  std::uint64_t erased = 0;
  for (const std::string& name : TRY(list_directory(*dir))) {
    const std::string day = name.substr(0, kDayLength);
    const std::string key = path + "/" + day;
    const std::string mark = key + kErasedSuffix;
    if (!is_day(day) || (name != day && path + "/" + name != mark)) continue;
    if (!is_there(from, mark)) TRY(copier.file(key));
    if (is_there(to, key) && TRY(size_of(to, key)) != sizeof(DayKey)) TRY(copier.drop(key));  // it is being made
    if (!is_there(from, mark) || is_there(to, mark)) continue;
    ++erased;
    const Status destroyed = destroy_key(to, *number, day);  // marks it as well
    if (!destroyed && destroyed.error().code != Errc::not_found) return std::unexpected(destroyed.error());
    if (destroyed) copier.copied.bytes -= sizeof(DayKey);
    TRY(copier.file(mark));
  }
  return erased;
}

Result<std::uint64_t> copy_keys(Copier& copier, const Fd& from, const Fd& to) {
  const auto dir = sys::open_beneath(from, kKeysDir, O_RDONLY | O_DIRECTORY);
  if (!dir && dir.error().sys == ENOENT) return 0;
  if (!dir) return std::unexpected(dir.error());
  if (::mkdirat(to.get(), kKeysDir, kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdirat");
  std::uint64_t erased = 0;
  for (const std::string& tenant : TRY(list_directory(*dir))) erased += TRY(copy_keys_of(copier, from, to, tenant));
  return erased;
}

}  // namespace

Result<Copied> copy_log(const std::string& from_path, const std::string& to_path, bool with_keys,
                        const std::function<void()>& segments_copied) {
  const Fd from = TRY(sys::open_dir(from_path.c_str()));
  if (::mkdir(to_path.c_str(), kSharedDir) != 0 && errno != EEXIST) return fail_errno("mkdir");
  const Fd to = TRY(sys::open_dir(to_path.c_str()));
  if (!TRY(list_directory(to)).empty()) return fail(Errc::invalid, "the copy's directory is not empty");
  Copier copier(from, to);
  TRY(copier.file(kCheckpointFile));
  // Twice: a half full tile that went meanwhile has given way to a full one, which is found then.
  TRY(copier.tree(kTileDir));
  TRY(copier.tree(kTileDir));
  // An entry says that a key is erased before it is; and a key is there before what is sealed with it. So the keys
  // follow the segments, and once more the segments follow where keys were erased meanwhile.
  std::string newest;
  for (int round = 0; round < kMaxRounds; ++round) {
    TRY(copy_segments(copier, from, to, newest));
    TRY(copier.tree(kBlobDir));
    if (segments_copied) segments_copied();
    if (!with_keys || TRY(copy_keys(copier, from, to)) == 0) return copier.copied;
  }
  return fail(Errc::unavailable, "keys are being erased all the time: try again");
}

}  // namespace oqto::audit
