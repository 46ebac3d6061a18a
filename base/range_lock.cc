#include "base/range_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "base/sys.h"
#include "base/uid_owners.h"

namespace oqto {
namespace {

constexpr std::size_t kMaxHolder = 8192;

std::unexpected<std::string> cannot(const std::string& what) {
  return std::unexpected(what + ": " + std::strerror(errno) +
                         ". Uids are locked there, so that no two instances use the same: it must be a directory of "
                         "root's that can be written (with systemd: RuntimeDirectory=oqto)");
}

std::string range(std::uint64_t first, std::uint64_t count) {
  return std::to_string(first) + " to " + std::to_string(first + count - 1);
}

// Beside the lock: which range begins there, and whose it is.
std::string note_of(const std::string& directory, std::uint64_t first) {
  return directory + "/range-" + std::to_string(first);
}

std::string who_has(const std::string& directory, const struct flock& lock) {
  const auto first = static_cast<std::uint64_t>(lock.l_start);
  const auto note = sys::open_file(note_of(directory, first).c_str(), O_RDONLY | O_NOFOLLOW);
  const auto holder = note ? sys::read_all(*note, kMaxHolder) : Result<std::string>("");
  // 0: it is in a pid namespace that is not ours or below it.
  const std::string pid = lock.l_pid > 0 ? "pid " + std::to_string(lock.l_pid) : "a process of another pid namespace";
  return pid + (holder && !holder->empty() ? " (" + *holder + ")" : "") + " has " +
         range(first, static_cast<std::uint64_t>(lock.l_len));
}

// `map`: /proc/self/uid_map.
bool exists(const std::string& map, std::uint64_t wanted, std::uint64_t wanted_count) {
  unsigned long long first = 0, outside = 0, count = 0;
  int used = 0;
  for (const char* at = map.c_str(); std::sscanf(at, "%llu %llu %llu%n", &first, &outside, &count, &used) == 3; at += used) {
    if (wanted >= first && wanted + wanted_count <= first + count) return true;
  }
  return false;
}

// Complete before it has its name: whoever meets the lock meanwhile reads none, never half of one.
void leave_note(const std::string& directory, std::uint64_t first, const std::string& holder) {
  const std::string note = note_of(directory, first), made = note + ".new";
  const auto file = sys::open_file(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
  if (file && sys::write_all(*file, holder.substr(0, kMaxHolder))) (void)::rename(made.c_str(), note.c_str());
}

}  // namespace

std::expected<RangeLock, std::string> RangeLock::take(const std::string& directory, std::uint64_t first,
                                                      std::uint64_t count, const std::string& holder) {
  for (const char* name : {"/proc/self/uid_map", "/proc/self/gid_map"}) {
    const auto file = sys::open_file(name, O_RDONLY);
    const auto map = file ? sys::read_all(*file, kMaxHolder) : Result<std::string>("");
    if (exists(map.value_or(""), first, count)) continue;
    return std::unexpected("this user namespace does not have " + range(first, count) + " (" + name +
                           "); with 65536 ids pass --uid-base 10000 --uid-count 50000");
  }
  const std::string parent = directory.substr(0, directory.rfind('/'));
  if (!parent.empty()) (void)::mkdir(parent.c_str(), 0755);  // a container may have no /run
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return cannot(directory);
  struct stat info{};
  if (::lstat(directory.c_str(), &info) != 0) return cannot(directory);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 022) != 0) {
    errno = EPERM;
    return cannot(directory);
  }
  const std::string path = directory + "/uids";
  Fd file = Fd::adopt(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return cannot(path);
  struct flock wanted{};
  wanted.l_type = F_WRLCK;
  wanted.l_whence = SEEK_SET;
  wanted.l_start = static_cast<off_t>(first);
  wanted.l_len = static_cast<off_t>(count);
  if (::fcntl(file.get(), F_SETLK, &wanted) != 0) {
    if (errno != EAGAIN && errno != EACCES) return cannot(path);
    struct flock theirs = wanted;
    const bool found = ::fcntl(file.get(), F_GETLK, &theirs) == 0 && theirs.l_type != F_UNLCK;
    return std::unexpected("another instance uses uids of " + range(first, count) + ": " +
                           (found ? who_has(directory, theirs) : "it has just ended, start again"));
  }
  leave_note(directory, first, holder);
  return RangeLock(std::move(file));
}

Result<RangeLock> RangeLock::take_uids(std::uint64_t first, std::uint64_t count, const std::string& holder) {
  if (const std::string owner = owner_of_uids("/etc", first, count); !owner.empty()) {
    log::error("these uids are not ours to use",
               {{"wanted", range(first, count)}, {"why", owner + ": whoever has it would have what is a tenant's"}});
    return fail(Errc::denied, "choose a --uid-base whose range (--uid-count) is nobody's; in a container with 65536 ids: "
                              "--uid-base 10000 --uid-count 50000");
  }
  auto taken = take(kDirectory, first, count, holder);
  if (taken) return *std::move(taken);
  log::error("these uids are not ours to use", {{"why", taken.error()}});
  return fail(Errc::denied, "choose another --uid-base, or stop the other instance");
}

}  // namespace oqto
