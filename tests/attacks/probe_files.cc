// Attacks on files, mounts and what /proc offers as files.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

int read_file(const Words& a) {
  char byte = 0;
  const int fd = ::open(a[0].c_str(), O_RDONLY);
  if (fd < 0) return verdict(false);
  errno = ENODATA;
  return verdict(::read(fd, &byte, 1) == 1);
}
int list_directory(const Words& a) {
  DIR* dir = ::opendir(a[0].c_str());
  if (dir == nullptr) return verdict(false);
  Words names;
  while (const dirent* entry = ::readdir(dir)) names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name != "." && name != "..") std::printf("%s ", name.c_str());
  }
  std::puts("");
  return 0;
}
int write_file(const Words& a) {
  return verdict(::open(a[0].c_str(), O_WRONLY | O_CREAT, 0600) >= 0);
}
int make_directory(const Words& a) { return verdict(::mkdir(a[0].c_str(), 0700) == 0); }
int rename_file(const Words& a) { return verdict(::rename(a[0].c_str(), a[1].c_str()) == 0); }
int exchange_file(const Words& a) {
  return verdict(::syscall(SYS_renameat2, AT_FDCWD, a[0].c_str(), AT_FDCWD, a[1].c_str(), 2) == 0);
}
int link_file(const Words& a) { return verdict(::link(a[0].c_str(), a[1].c_str()) == 0); }
int link_symbolically(const Words& a) {
  return verdict(::symlink(a[0].c_str(), a[1].c_str()) == 0);
}
int remove_file(const Words& a) {
  return verdict(::unlink(a[0].c_str()) == 0 || (errno == EISDIR && ::rmdir(a[0].c_str()) == 0));
}
int change_mode(const Words& a) {
  return verdict(::chmod(a[0].c_str(), static_cast<mode_t>(number(a[1]))) == 0);
}
int replace_file(const Words& a) {
  const std::string aside = a[0] + ".new";
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT, 0600);
  return verdict(fd >= 0 && ::rename(aside.c_str(), a[0].c_str()) == 0);
}
int make_device(const Words& a) {  // PATH: the null device, which anybody may have
  return verdict(::mknod(a[0].c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0);
}
int by_handle(const Words& a) {  // a file by its number, past every directory above it
  constexpr unsigned kMostBytes = 128;
  alignas(file_handle) unsigned char room[sizeof(file_handle) + kMostBytes] = {};
  auto* handle = reinterpret_cast<file_handle*>(room);
  handle->handle_bytes = kMostBytes;
  int mount = 0;
  if (::name_to_handle_at(AT_FDCWD, a[0].c_str(), handle, &mount, 0) != 0) return verdict(false);
  const int dir = ::open(a[0].c_str(), O_RDONLY);
  return verdict(::open_by_handle_at(dir, handle, O_RDONLY) >= 0);
}

// --- walks ---------------------------------------------------------------------------------------

constexpr int kDeepest = 40;

void walk(const std::string& dir, int depth,
          const std::function<bool(const std::string&, const struct stat&)>& visit) {
  DIR* opened = ::opendir(dir.c_str());
  if (opened == nullptr || depth > kDeepest) return;
  while (const dirent* entry = ::readdir(opened)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = (dir == "/" ? "" : dir) + "/" + name;
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) continue;
    if (visit(path, info) && S_ISDIR(info.st_mode)) walk(path, depth + 1, visit);
  }
  ::closedir(opened);
}

int print_sorted(Words found) {
  std::sort(found.begin(), found.end());
  for (const std::string& path : found) std::printf("%s ", path.c_str());
  std::puts("");
  return 0;
}

// Opened only; nothing is written.
int walk_sysctls(const Words& a) {
  bool any = false;
  walk(a[0], 0, [&](const std::string& path, const struct stat& info) {
    if (S_ISREG(info.st_mode)) {
      const int fd = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
      if (fd >= 0) any = true;
      if (fd >= 0) ::close(fd);
    }
    return !any;
  });
  return any ? verdict(true) : closed(EACCES);
}

int walk_writable(const Words&) {  // the topmost directories in which files can be made
  Words found;
  walk("/", 0, [&](const std::string& path, const struct stat& info) {
    if (path == "/proc" || !S_ISDIR(info.st_mode)) return false;
    const int fd = ::open(path.c_str(), O_TMPFILE | O_WRONLY, 0600);
    const bool made = fd >= 0 || ::mkdir((path + "/.probe").c_str(), 0700) == 0;
    if (fd >= 0) ::close(fd);
    (void)::rmdir((path + "/.probe").c_str());
    if (made) found.push_back(path);
    return !made;
  });
  return print_sorted(found);
}

int walk_kind(const Words& a) {  // "sockets", "pipes", "devices", "setuid"
  Words found;
  walk("/", 0, [&](const std::string& path, const struct stat& info) {
    if (path == "/proc" || path == "/dev/pts") return false;
    const mode_t kind = info.st_mode & S_IFMT;
    const bool mine = (a[0] == "sockets" && kind == S_IFSOCK) ||
                      (a[0] == "pipes" && kind == S_IFIFO) ||
                      (a[0] == "devices" && (kind == S_IFCHR || kind == S_IFBLK));
    if (mine) found.push_back(path);
    return true;
  });
  return print_sorted(found);
}

// --- mounts, rights ------------------------------------------------------------------------------

int list_mounts(const Words&) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) std::puts(line.c_str());
  return 0;
}

int remount_writable(const Words& a) {
  return verdict(::mount(nullptr, a[0].c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0);
}
int uncover(const Words& a) { return verdict(::umount2(a[0].c_str(), MNT_DETACH) == 0); }

// Who one is: real and effective uid, the effective capabilities, and whether they can be gained.
int who_am_i(const Words&) {
  std::ifstream status("/proc/self/status");
  std::string caps;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapEff:")) caps = line.substr(line.find('\t') + 1);
  }
  std::printf("uid %u euid %u caps %s nnp %d\n", ::getuid(), ::geteuid(), caps.c_str(),
              ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  return 0;
}

// From where one is, upwards past every root that was left by pivot_root.
int climb(const Words& a) {
  std::string path;
  for (int i = 0; i < kDeepest; ++i) path += "../";
  const int fd = ::open((path + a[0]).c_str(), O_RDONLY);
  char byte = 0;
  return verdict(fd >= 0 && ::read(fd, &byte, 1) == 1);
}

// Whoever opens the file then waits, for as long as fs.lease-break-time says.
int lease(const Words& a) {
  const int fd = ::open(a[0].c_str(), O_RDONLY | O_CLOEXEC);
  return verdict(fd >= 0 && ::fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
}

constexpr Attack kAttacks[] = {
    {"read", read_file},
    {"list", list_directory},
    {"write", write_file},
    {"mkdir", make_directory},
    {"rename", rename_file},
    {"exchange", exchange_file},
    {"link", link_file},
    {"symlink", link_symbolically},
    {"remove", remove_file},
    {"chmod", change_mode},
    {"replace", replace_file},
    {"mknod", make_device},
    {"handle", by_handle},
    {"walk-sysctls", walk_sysctls},
    {"walk-writable", walk_writable},
    {"walk-kind", walk_kind},
    {"mounts", list_mounts},
    {"remount", remount_writable},
    {"umount", uncover},
    {"who", who_am_i},
    {"climb", climb},
    {"lease", lease},
};

}  // namespace

std::span<const Attack> file_attacks() { return kAttacks; }

}  // namespace probe
