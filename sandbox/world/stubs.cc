#include "sandbox/world/stubs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/small_files.h"

namespace oqto::sandbox {
namespace {

// Long before there was a file to confuse it with, and not a whole second.
constexpr timespec kMark = {.tv_sec = 86'400, .tv_nsec = 198'018'000};
constexpr int kLockTries = 200;  // of 10 ms: another sandbox is removing the same stub
// Git takes the repository's own directory for the common one: what it does without this file.
constexpr std::string_view kCommonDir = ".\n";

// Stands where git would look for a part of a repository, and is none: git and other programs pass
// over a socket, and opening it fails at once.
constexpr std::string_view kSocket = "refs", kSocketToo = "objects";
bool is_socket_name(std::string_view name) {
  return name == kSocket || name == kSocketToo;
}

constexpr std::string_view kFiles[] = {"config",
                                       "commondir",
                                       "gitdir",
                                       ".bashrc",
                                       ".bash_profile",
                                       ".bash_login",
                                       ".bash_logout",
                                       ".bash_history",
                                       ".profile",
                                       ".zshrc",
                                       ".zshenv",
                                       ".zprofile",
                                       ".zlogin",
                                       ".netrc",
                                       ".gitconfig",
                                       ".gitmodules",
                                       ".gitattributes",
                                       ".npmrc",
                                       ".yarnrc",
                                       ".pypirc",
                                       ".env",
                                       ".envrc",
                                       ".pgpass",
                                       ".inputrc",
                                       ".vimrc",
                                       ".git-credentials",
                                       ".ripgreprc",
                                       ".python_history",
                                       ".node_repl_history"};

bool has_mark(const struct stat& info) {
  return info.st_mtim.tv_sec == kMark.tv_sec && info.st_mtim.tv_nsec == kMark.tv_nsec;
}

Status make(const Fd& directory, const Stub& stub, const char* name) {
  const timespec times[2] = {kMark, kMark};
  if (!stub.directory && is_socket_name(name) &&
      ::mknodat(directory.get(), name, S_IFSOCK | 0600, 0) == 0) {
    if (::utimensat(directory.get(), name, times, AT_SYMLINK_NOFOLLOW) == 0) return {};
    return fail_errno("utimensat");
  }
  Fd made;
  if (stub.directory) {
    if (::mkdirat(directory.get(), name, 0755) != 0) return fail_errno("mkdir");
    made = TRY(sys::open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  } else {
    made = TRY(sys::open_beneath(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY(sys::write_all(made, stub.content));
  }
  if (::futimens(made.get(), times) != 0) return fail_errno("futimens");
  return {};
}

bool ours(const Fd& directory, const char* name) {
  const Fd file = Fd::adopt(::openat(directory.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  return file && ::fstat(file.get(), &info) == 0 && is_stub(file.get(), info, name);
}

bool is_empty_directory(int parent, const char* name) {
  Fd fd = Fd::adopt(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return fd && list_directory(std::move(fd), 1).empty();
}

}  // namespace

bool looks_like_file(std::string_view name) {
  if (is_socket_name(name) || std::ranges::find(kFiles, name) != std::end(kFiles)) return true;
  const std::size_t dot = name.rfind('.');
  return dot != std::string_view::npos && dot > 0 && name.substr(dot) != ".d" &&
         name.substr(dot) != ".git";
}

Stub stub_for(std::string outside, FileId parent, bool directory) {
  Stub stub{.outside = std::move(outside), .parent = parent, .directory = directory};
  if (last_name(stub.outside) == "commondir") stub.content = kCommonDir;
  return stub;
}

bool is_stub(int file, const struct stat& info, std::string_view path) {
  if (!has_mark(info)) return false;
  if (S_ISDIR(info.st_mode)) return is_empty_directory(file, ".");
  if (S_ISSOCK(info.st_mode)) return is_socket_name(last_name(path));
  return S_ISREG(info.st_mode) &&
         info.st_size == (last_name(path) == "commondir" ? std::ssize(kCommonDir) : 0);
}

Result<std::size_t> PlacedStubs::lock(Fd directory, const FileId& expected) {
  struct stat info {};
  if (::fstat(directory.get(), &info) != 0) return fail_errno("fstat");
  const FileId id{info.st_dev, info.st_ino};
  if (expected != FileId{} && expected != id) {
    return fail(Errc::unavailable, "a directory was exchanged");
  }
  // One lock for one directory: a second one would be in the way of the first.
  const auto known = std::ranges::find(directories_, id, &Directory::id);
  if (known != directories_.end()) return static_cast<std::size_t>(known - directories_.begin());
  for (int tries = 0; ::flock(directory.get(), LOCK_SH | LOCK_NB) != 0; ++tries) {
    if (tries >= kLockTries) return fail_errno("flock: another process keeps the directory locked");
    (void)::usleep(10'000);
  }
  directories_.push_back({id, std::move(directory)});
  return directories_.size() - 1;
}

Status PlacedStubs::place(const Stub& stub) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  const std::string parent(parent_path(stub.outside));
  Fd fd = Fd::adopt(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, parent.c_str(), &how, sizeof how)));
  if (!fd) return fail_errno("openat2 of the directory of something denied");
  return place_in(std::move(fd), stub);
}

Status PlacedStubs::place_in(Fd opened, const Stub& stub) {
  const std::size_t number = TRY(lock(std::move(opened), stub.parent));
  const Fd& directory = directories_[number].fd;
  const std::string name(last_name(stub.outside));
  const Status made = make(directory, stub, name.c_str());
  if (!made && made.error().sys != EEXIST) return made;
  if (made || ours(directory, name.c_str())) {
    placed_.push_back({number, stub.outside, stub.directory});
    return {};
  }
  // A directory that holds nothing is as good; it is somebody's, and stays.
  if (stub.directory && is_empty_directory(directory.get(), name.c_str())) return {};
  return fail(Errc::unavailable, "something has just appeared where it is denied: try again");
}

void PlacedStubs::remove() {
  std::vector<bool> alone;
  for (const Directory& directory : directories_) {
    alone.push_back(::flock(directory.fd.get(), LOCK_EX | LOCK_NB) == 0);
  }
  while (!placed_.empty()) {  // the innermost first
    const Placed& last = placed_.back();
    const Fd& directory = directories_[last.directory].fd;
    const std::string name(last_name(last.path));
    if (alone[last.directory] && ours(directory, name.c_str())) {
      (void)::unlinkat(directory.get(), name.c_str(), last.is_directory ? AT_REMOVEDIR : 0);
    }
    placed_.pop_back();
  }
  directories_.clear();
}

}  // namespace oqto::sandbox
