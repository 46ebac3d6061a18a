#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/world/layout.h"
#include "sandbox/world/stubs.h"

namespace oqto::sandbox {

Found look_at(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  const Fd fd =
      Fd::adopt(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  Found found;
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    found.link = errno == ELOOP;
    found.reachable = errno == ELOOP || errno == ENOENT || errno == ENOTDIR;
    return found;
  }
  found.present = true;
  found.id = {info.st_dev, info.st_ino};
  found.directory = S_ISDIR(info.st_mode);
  found.regular = S_ISREG(info.st_mode);
  found.owned = info.st_uid == ::geteuid();
  found.stub = is_stub(fd.get(), info, path);
  return found;
}

}  // namespace oqto::sandbox
