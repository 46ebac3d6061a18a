#include "sandbox/world/stage_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/encoding.h"
#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/tree.h"

namespace oqto::sandbox {
namespace {

using Outcome = Tree::Outcome;
using Opened = Tree::Opened;

// Beside the limits of the policy: the sandbox's own directories, files and mount points.
constexpr std::uint64_t kOwnInodes = 64;
constexpr std::uint64_t kOwnBytes = 2 * 1024 * 1024;

constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};
const struct {
  const char *name, *target;
} kDeviceLinks[] = {{"fd", "/proc/self/fd"},
                    {"stdin", "/proc/self/fd/0"},
                    {"stdout", "/proc/self/fd/1"},
                    {"stderr", "/proc/self/fd/2"},
                    {"ptmx", "pts/ptmx"}};

// Of the host: what was checked, or nothing.
Opened host(const Mount& mount) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC | (mount.directory ? O_DIRECTORY : 0U);
  how.resolve = RESOLVE_NO_SYMLINKS;
  Fd fd = Fd::adopt(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, mount.outside.c_str(), &how, sizeof how)));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    return errno == ELOOP ? Opened(exchanged(mount.outside))
                          : Opened(failed_at(mount.outside, "open"));
  }
  if (mount.id != FileId{info.st_dev, info.st_ino}) return exchanged(mount.outside);
  return fd;
}

}  // namespace

bool Tree::is_stage(const Fd& fd) const {
  struct stat info {};
  return ::fstat(fd.get(), &info) == 0 && info.st_dev == device_;
}

Outcome Tree::begin() {
  TRY(make_stage());
  (void)TRY(place("/proc", true, true));
  return {};
}

Outcome Tree::furnish() {
  TRY(make_root());
  return make_devices();
}

Outcome Tree::fill() {
  for (const Mount& mount : layout_.mounts) TRY(add(mount));
  for (const Cover& cover : layout_.covers) TRY(lay(cover, root_, true));
  return make_read_only();
}

Outcome Tree::hide_host() {
  for (const char* name : {"/proc/bus", "/proc/cmdline", "/proc/diskstats", "/proc/fs",
                           "/proc/interrupts", "/proc/irq", "/proc/locks", "/proc/partitions"}) {
    TRY(lay({.how = Cover::How::empty, .inside = name, .id = {}, .if_present = true, .why = {}},
            root_, false));
  }
  return {};
}

Outcome Tree::enter() {
  // The new root on top of the old one, and the old one away, without a directory for it.
  if (::chdir(kStageRoot) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) {
    return failed_at("/", "pivot_root");
  }
  if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0) return failed_at("/", "umount2");
  return {};
}

Opened Tree::init_program() {
  const auto mount = std::ranges::find(layout_.mounts, kInsideInit, &Mount::inside);
  if (mount == layout_.mounts.end()) return refuse("oqto-init has no place");
  const Fd file = TRY(host(*mount));
  return detached(file, MOUNT_ATTR_RDONLY, mount->outside);
}

Outcome Tree::make_stage() {
  const policies::Limits& limits = world_.policy.limits;
  const std::string options = "mode=0755,size=" + std::to_string(limits.tmp_bytes + kOwnBytes) +
                              ",nr_inodes=" + std::to_string(limits.tmp_inodes + kOwnInodes);
  if (::mount("tmpfs", kStageTmpfs, "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return failed_at(kStageTmpfs, "mount of a tmpfs");
  }
  stage_ = Fd::adopt(::open(kStageTmpfs, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!stage_) return failed_at(kStageTmpfs, "open");
  (void)TRY(make_directory("root", 0755));
  if (::mount("tmpfs", kStageRoot, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m") != 0) {
    return failed_at(kStageRoot, "mount of a tmpfs");
  }
  root_ = Fd::adopt(::open(kStageRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!root_ || ::fstat(root_.get(), &info) != 0) return failed_at(kStageRoot, "open");
  device_ = info.st_dev;
  return {};
}

// A terminal system of its own, the host's harmless devices, and nothing else.
Outcome Tree::make_devices() {
  const Fd dev = TRY(place("/dev", true, true));
  for (const char* name : kDevices) {
    const std::string path = std::string("/dev/") + name;
    const Fd host = Fd::adopt(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!host || ::fstat(host.get(), &info) != 0 || !S_ISCHR(info.st_mode)) {
      return failed_at(path, "is not a device");
    }
    const Fd onto = TRY(place(path, false, true));
    TRY(attach(host, onto, MOUNT_ATTR_NOEXEC, path, Devices::work));
  }
  for (const auto& [name, target] : kDeviceLinks) {
    if (::symlinkat(target, dev.get(), name) != 0) return failed_at(name, "symlink");
  }
  (void)TRY(place("/dev/pts", true, true));
  // The kernel has some thousands for all sandboxes of the host together (kernel.pty.max).
  if (::mount("devpts", "/sys/root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=620,max=64") != 0) {
    return failed_at("/dev/pts", "mount");
  }
  const Fd shm = TRY(make_directory("shm", 01777));
  const Fd onto = TRY(place("/dev/shm", true, true));
  return attach(shm, onto, world_.policy.run_own_programs != 0 ? 0 : MOUNT_ATTR_NOEXEC, "/dev/shm");
}

// What is mounted in it keeps its own flags.
Outcome Tree::make_read_only() {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(root_.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return failed_at("/", "mount_setattr");
  }
  return {};
}

Opened Tree::make_directory(const char* name, mode_t mode) {
  // The mode explicitly: neither the umask nor mkdir's own rules shall have a say.
  if (::mkdirat(stage_.get(), name, 0700) != 0 || ::fchmodat(stage_.get(), name, mode, 0) != 0) {
    return failed_at(name, "mkdir");
  }
  Fd fd = Fd::adopt(::openat(stage_.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed_at(name, "open");
  return fd;
}

Opened Tree::make_file(const char* name, std::string_view content, mode_t mode) {
  const Fd file = Fd::adopt(
      ::openat(stage_.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file || !sys::write_all(file, content) || ::fchmod(file.get(), mode) != 0) {
    return failed_at(name, "create");
  }
  Fd fd = Fd::adopt(::openat(stage_.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed_at(name, "open");
  return fd;
}

Outcome Tree::make_root() {
  for (const char* name : {"/etc", "/dev", "/run", "/var", "/opt"}) {
    (void)TRY(place(name, true, true));
  }
  for (const Link& link : layout_.links) {
    const Fd parent = TRY(place(parent_path(link.name), true, true));
    const std::string name(last_name(link.name));
    if (::symlinkat(link.target.c_str(), parent.get(), name.c_str()) != 0) {
      return failed_at(link.name, "symlink");
    }
  }
  (void)TRY(place(kInsideEmpty, true, true));
  const Fd nothing = TRY(place(kInsideNothing, false, true));
  if (::chmod(("/proc/self/fd/" + std::to_string(nothing.get())).c_str(), 0) != 0) {
    return failed_at(kInsideNothing, "chmod");
  }
  for (const World::Generated& file : layout_.files) {
    const Fd parent = TRY(place(parent_path(file.inside), true, true));
    const std::string name(last_name(file.inside));
    const Fd fd = Fd::adopt(::openat(parent.get(), name.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444));
    if (!fd || !sys::write_all(fd, file.content)) return failed_at(file.inside, "create");
  }
  return {};
}

// --- sources ------------------------------------------------------------------------------------

Opened Tree::source(const Mount& mount) {
  if (mount.source == Mount::Source::host) return host(mount);
  const std::string name = "own-" + std::to_string(made_++);
  if (mount.source == Mount::Source::content) return make_file(name.c_str(), mount.content, 0444);
  return make_directory(name.c_str(), mount.inside == "/tmp" ? 01777 : 0700);
}

// --- destinations -------------------------------------------------------------------------------

// The next component: what it must be, or made so.
Opened Tree::step(const Fd& parent, const std::string& name, bool directory, bool make,
                  std::string_view inside) {
  for (int tries = 0; tries < 3; ++tries) {
    Fd fd = Fd::adopt(::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (fd && ::fstat(fd.get(), &info) == 0 &&
        (directory ? S_ISDIR(info.st_mode) : !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode))) {
      // The agent's own directory, in whatever state it left it.
      if (directory && make && (info.st_mode & S_IRWXU) != S_IRWXU) {
        (void)::chmod(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), 0700);
      }
      return fd;
    }
    if (fd) {
      if (!make || is_stage(parent)) {
        return refuse("`" + std::string(inside) +
                      "` cannot be shown: something else is in the way");
      }
      const std::string aside = name + ".replaced-" + Uuid::random().text();
      if (::renameat2(parent.get(), name.c_str(), parent.get(), aside.c_str(), RENAME_NOREPLACE) !=
          0) {
        return failed_at(inside, "what is in the way cannot be renamed");
      }
    } else if (errno != ENOENT || !make) {
      return failed_at(inside, "has no place inside");
    }
    if (directory ? ::mkdirat(parent.get(), name.c_str(), is_stage(parent) ? 0755 : 0700) != 0
                  : ::mknodat(parent.get(), name.c_str(), S_IFREG | 0600, 0) != 0) {
      if (errno != EEXIST) return failed_at(inside, "its mount point cannot be made");
    }
  }
  return exchanged(inside);
}

Opened Tree::place(std::string_view inside, bool directory, bool make) {
  const std::string_view relative = beneath("/", inside);
  // At once, where nobody else can have made anything, or nothing would be made.
  if (!make || layout_.showing(parent_path(inside)) == nullptr) {
    auto found = sys::open_beneath(root_, std::string(relative).c_str(),
                                   O_PATH | O_NOFOLLOW | (directory ? O_DIRECTORY : 0));
    struct stat info {};
    const bool file = found && !directory && ::fstat(found->get(), &info) == 0 &&
                      !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode);
    if (found && (directory || file)) return std::move(*found);
  }
  Fd at = Fd::adopt(::fcntl(root_.get(), F_DUPFD_CLOEXEC, 3));
  if (!at) return failed_at(inside, "dup");
  for (std::size_t begin = 0; begin < relative.size();) {
    const std::size_t end = std::min(relative.find('/', begin), relative.size());
    const bool last = end == relative.size();
    at = TRY(step(at, std::string(relative.substr(begin, end - begin)), !last || directory, make,
                  inside));
    begin = end + 1;
  }
  return at;
}

Outcome Tree::add(const Mount& mount) {
  const Fd from = TRY(source(mount));
  const Fd onto = TRY(place(mount.inside, mount.directory, mount.make_place));
  std::uint64_t attributes = mount.read_only ? MOUNT_ATTR_RDONLY : 0;
  // Also against loaders that map what the kernel was not asked to execute.
  const bool own_programs = world_.policy.run_own_programs != 0;
  if (!mount.executable || (!mount.read_only && !own_programs)) attributes |= MOUNT_ATTR_NOEXEC;
  return attach(from, onto, attributes, mount.inside);
}

}  // namespace oqto::sandbox
