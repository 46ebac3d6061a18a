#include "sandbox/init/mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxMountinfo = 1024 * 1024;

bool has_entries(const std::string& path) {
  DIR* const dir = ::opendir(path.c_str());
  if (dir == nullptr) return true;
  bool found = false;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    found = found || (name != "." && name != "..");
  }
  (void)::closedir(dir);
  return found;
}

Status verify(const MountCheck& check) {
  struct statx found {};
  struct statvfs mount {};
  if (::statx(AT_FDCWD, check.path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found) != 0 ||
      ::statvfs(check.path.c_str(), &mount) != 0) {
    return fail_errno("something of the session is not mounted");
  }
  if ((found.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0 &&
      (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0) {
    return fail(Errc::denied, "a mount is missing");
  }
  const FileId id{::makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino};
  if (check.id != FileId{} && check.id != id) {
    return fail(Errc::denied, "was exchanged while the sandbox was being built");
  }
  if (check.read_only && (mount.f_flag & ST_RDONLY) == 0) {
    return fail(Errc::denied, "is writable but must not be");
  }
  if (!check.empty) return {};
  const bool empty = S_ISDIR(found.stx_mode) ? !has_entries(check.path)
                                             : S_ISREG(found.stx_mode) && found.stx_size == 0;
  if (!empty) return fail(Errc::denied, "is not hidden");
  return {};
}

std::string_view next_word(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

bool has_option(std::string_view options, std::string_view name) {
  while (!options.empty()) {
    if (next_word(options, ',') == name) return true;
  }
  return false;
}

}  // namespace

// proc_pid_mountinfo(5): "ID PARENT DEVICE ROOT MOUNTPOINT OPTIONS [FIELD]... - TYPE SOURCE SUPER".
Status verify_mount_table(std::string_view mountinfo, std::string& where) {
  while (!mountinfo.empty()) {
    std::string_view line = next_word(mountinfo, '\n');
    for (int i = 0; i < 4; ++i) (void)next_word(line, ' ');
    where = next_word(line, ' ');
    const std::string_view options = next_word(line, ' ');
    for (std::string_view field = next_word(line, ' '); field != "-" && !line.empty();
         field = next_word(line, ' ')) {
      if (field.starts_with("shared:") || field.starts_with("master:")) {
        return fail(Errc::denied, "exchanges mounts with the host");
      }
    }
    // devpts has no setting of its own for devices: its only ones are the session's terminals.
    const bool devices = where == "/dev" || where.starts_with("/dev/");
    if (!has_option(options, "nosuid") || (!devices && !has_option(options, "nodev"))) {
      return fail(Errc::denied, "honours set-user-id programs or devices");
    }
  }
  where.clear();
  return {};
}

Status verify_mounts(const InitPlan& plan, std::string& where) {
  for (const std::string& text : plan.checks.values) {
    const MountCheck check = TRY(MountCheck::parse(text));
    where = check.path;
    TRY(verify(check));
  }
  where = "/proc/self/mountinfo";
  const std::string table =
      TRY(sys::read_all(TRY(sys::open_file("/proc/self/mountinfo", O_RDONLY)), kMaxMountinfo));
  TRY(verify_mount_table(table, where));
  char directory[4096];
  where = plan.workspace.str();
  if (::getcwd(directory, sizeof directory) == nullptr || where != directory) {
    return fail(Errc::denied, "is not the current directory");
  }
  where.clear();
  return {};
}

}  // namespace oqto::sandbox
