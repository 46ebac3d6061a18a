#include "runner/state_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/sys.h"

namespace oqto::runner {

Status replace_file(const Fd& dir, const std::string& name, std::string_view text) {
  const std::string fresh = name + ".new";
  {
    const Fd file = TRY(sys::open_beneath(dir, fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    TRY(sys::write_all(file, text));
    if (::fsync(file.get()) != 0) return fail_errno("fsync");
  }
  if (::renameat(dir.get(), fresh.c_str(), dir.get(), name.c_str()) != 0) return fail_errno("renameat");
  if (::fsync(dir.get()) != 0) return fail_errno("fsync");
  return {};
}

}  // namespace oqto::runner
