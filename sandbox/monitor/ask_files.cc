#include "sandbox/monitor/ask_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "sandbox/policy/policy.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif

namespace oqto::sandbox {
namespace {

Fd open_at(const Fd& dir, const std::string& name, int flags) {
  return Fd::adopt(::openat(dir.get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
}

// One name at a time, none of them a link or "..": openat2's RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
// in calls whose arguments the launcher's own filter can see.
Result<Fd> open_below(const Fd& parent, std::string_view path) {
  Fd dir;
  const Fd* from = &parent;
  for (;;) {
    const std::size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    if (slash == std::string_view::npos) {
      Fd file = open_at(*from, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
      if (!file) return fail_errno("a hidden file cannot be opened");
      return file;
    }
    Fd next = open_at(*from, name, O_PATH | O_DIRECTORY);
    if (!next) return fail_errno("a hidden directory cannot be opened");
    dir = std::move(next);
    from = &dir;
    path.remove_prefix(slash + 1);
  }
}

Result<Fd> memory_file() {
  const auto create = [](unsigned flags) {
    return Fd::adopt(::memfd_create("approved", MFD_CLOEXEC | flags));
  };
  Fd memory = create(MFD_NOEXEC_SEAL);  // implies MFD_ALLOW_SEALING
  if (!memory && errno == EINVAL) memory = create(MFD_ALLOW_SEALING);
  if (!memory) return fail_errno("memfd_create");
  return memory;
}

Status fill(const Fd& memory, const Fd& file, std::uint64_t& left) {
  char piece[64 * 1024];
  std::size_t total = 0;
  ssize_t n;
  while ((n = ::read(file.get(), piece, sizeof piece)) > 0) {
    const auto size = static_cast<std::size_t>(n);
    total += size;
    if (total > kMaxAskFileBytes || size > left) {
      return fail(Errc::limit, "too large to be handed to a program");
    }
    left -= size;
    for (std::size_t done = 0; done < size;) {
      const ssize_t written = ::write(memory.get(), piece + done, size - done);
      if (written <= 0) return fail_errno("write to memory");
      done += static_cast<std::size_t>(written);
    }
  }
  if (n < 0) return fail_errno("a hidden file cannot be read");
  return {};
}

bool unchanged(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

Result<AskPath> open_ask_path(std::string inside, const std::string& outside, bool automatic) {
  const std::size_t slash = outside.rfind('/');
  if (!outside.starts_with('/') || slash + 1 == outside.size()) {
    return fail(Errc::invalid, "an ask path is not absolute, or the root");
  }
  AskPath ask{.inside = std::move(inside),
              .parent = {},
              .name = outside.substr(slash + 1),
              .automatic = automatic};
  const std::string parent = slash == 0 ? "/" : outside.substr(0, slash);
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  ask.parent = Fd::adopt(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, parent.c_str(), &how, sizeof how)));
  if (!ask.parent) return fail_errno("the directory of an ask path cannot be opened");
  return ask;
}

const AskPath* AskFiles::find(std::string_view path) const {
  const AskPath* nearest = nullptr;
  for (const AskPath& ask : paths_) {
    if (!path_contains(ask.inside, path)) continue;
    const bool nearer = nearest == nullptr || ask.inside.size() > nearest->inside.size() ||
                        (ask.inside.size() == nearest->inside.size() && !nearest->denied);
    if (nearer) nearest = &ask;
  }
  return nearest == nullptr || nearest->denied ? nullptr : nearest;
}

Result<Fd> AskFiles::open(const AskPath& ask, std::string_view path, struct stat& info) {
  const std::string below = ask.name + std::string(path.substr(ask.inside.size()));
  Fd file = TRY(open_below(ask.parent, below));
  if (::fstat(file.get(), &info) != 0) return fail_errno("fstat");
  if (!S_ISREG(info.st_mode)) return fail(Errc::not_found, "not a regular file");
  return file;
}

bool AskFiles::is_file(const AskPath& ask, std::string_view path) const {
  struct stat info {};
  return open(ask, path, info).has_value();
}

Result<Fd> AskFiles::copy(const AskPath& ask, std::string_view path) {
  struct stat info {};
  const Fd file = TRY(open(ask, path, info));
  auto kept = std::ranges::find_if(
      copies_, [&](const Copy& copy) { return copy.path == path && unchanged(copy.of, info); });
  if (kept == copies_.end()) {
    copies_.push_front(TRY(make(path, file, info)));
    if (copies_.size() > kMaxKeptCopies) copies_.pop_back();
    kept = copies_.begin();
  }
  // A descriptor with a position of its own, and without the right to write.
  const std::string memory = "/proc/self/fd/" + std::to_string(kept->memory.get());
  Fd own = Fd::adopt(::open(memory.c_str(), O_RDONLY | O_CLOEXEC));
  if (!own) return fail_errno("a copy in memory cannot be opened");
  return own;
}

Result<AskFiles::Copy> AskFiles::make(std::string_view path, const Fd& file,
                                      const struct stat& info) {
  Copy copy{.path = std::string(path), .of = info, .memory = TRY(memory_file())};
  std::uint64_t left = kMaxCopiedBytes - copied_;
  const Status filled = fill(copy.memory, file, left);
  copied_ = kMaxCopiedBytes - left;
  if (!filled) return std::unexpected(filled.error());
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(copy.memory.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("fcntl(F_ADD_SEALS)");
  return copy;
}

}  // namespace oqto::sandbox
