#include "sandbox/agent_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <string>

#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::sandbox {
namespace {

Status move_aside(const Fd& dir, const char* name) {
  const std::string aside = std::string(name) + ".replaced-" + Uuid::random().text();
  if (::renameat2(dir.get(), name, dir.get(), aside.c_str(), RENAME_NOREPLACE) != 0) {
    return fail_errno("something in the agent's home cannot be renamed");
  }
  return {};
}

Result<Fd> real_directory(const Fd& parent, const char* name) {
  struct stat found {};
  if (::fstatat(parent.get(), name, &found, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(found.st_mode)) {
    TRY(move_aside(parent, name));
  }
  if (::mkdirat(parent.get(), name, 0700) != 0 && errno != EEXIST) return fail_errno("mkdir");
  if ((found.st_mode & S_IRWXU) != S_IRWXU && S_ISDIR(found.st_mode) &&
      ::fchmodat(parent.get(), name, 0700, 0) != 0) {
    return fail_errno("chmod");
  }
  return sys::open_beneath(parent, name, O_PATH | O_DIRECTORY);
}

Status real_file(const Fd& parent, const char* name) {
  struct stat found {};
  if (::fstatat(parent.get(), name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISREG(found.st_mode)) return {};
    TRY(move_aside(parent, name));
  }
  (void)TRY(sys::open_beneath(parent, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return {};
}

}  // namespace

Status prepare_agent_dir(const Fd& home) {
  const Fd pi = TRY(real_directory(home, ".pi"));
  const Fd agent = TRY(real_directory(pi, "agent"));
  for (const char* name : {"models.json", "settings.json", "auth.json"}) {
    TRY(real_file(agent, name));
  }
  return {};
}

}  // namespace oqto::sandbox
