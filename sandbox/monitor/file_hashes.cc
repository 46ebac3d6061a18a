#include "sandbox/monitor/file_hashes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/sys.h"
#include "sandbox/monitor/digest.h"

namespace oqto::sandbox {
namespace {

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool unchanged(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         same_time(a.st_mtim, b.st_mtim) && same_time(a.st_ctim, b.st_ctim);
}

std::string hash_of(const Fd& file) {
  constexpr std::size_t kPiece = std::size_t{256} << 10;
  const auto piece = std::make_unique<char[]>(kPiece);
  Sha256 hash;
  std::uint64_t all = 0;
  for (;;) {
    const ssize_t n = ::read(file.get(), piece.get(), kPiece);
    if (n < 0) return {};
    if (n == 0) return hash.hex();
    all += static_cast<std::uint64_t>(n);
    if (all > kMaxHashedBytes) return {};
    hash.add({piece.get(), static_cast<std::size_t>(n)});
  }
}

}  // namespace

void FileHashes::add_to(ipc::AuditAppend& record, const Tracees& tracees, pid_t process) {
  const Fd file = tracees.open_executable(process);
  struct stat now {};
  if (!file || ::fstat(file.get(), &now) != 0 || !S_ISREG(now.st_mode)) return;
  const auto found = std::ranges::find_if(
      known_, [&now](const Known& known) { return unchanged(known.of, now); });
  if (found != known_.end()) {
    record.add(ipc::FieldKey::sha256, found->sha256);
    return;
  }
  std::string sha256 = hash_of(file);
  if (sha256.empty()) return;
  record.add(ipc::FieldKey::sha256, sha256);
  constexpr std::uint64_t kSettledMs = 2000;
  const auto changed = static_cast<std::uint64_t>(now.st_ctim.tv_sec) * 1000;
  if (changed + kSettledMs >= sys::now_ms()) return;
  known_.push_front({now, std::move(sha256)});
  if (known_.size() > kMaxHashes) known_.pop_back();
}

}  // namespace oqto::sandbox
