// The janitor: a small process outside the sandbox. It places stubs before the start, watches over
// the covers while the sandbox runs (warden.h), and removes the stubs when nothing inside is left,
// also if whoever started the sandbox is killed.
#pragma once
#include <sys/types.h>

#include <expected>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/layout.h"

namespace oqto::sandbox {

class Janitor {
 public:
  Janitor() = default;  // none is needed
  // Forks. One byte arrives at the other end of `stubs` (a pipe) when all stubs are in place; if
  // that fails, none is, and the pipe closes.
  static std::expected<Janitor, StartFailure> start(const Layout& layout, Fd stubs);

  // What went wrong with the stubs, if anything: waits a moment for it.
  std::string complaint() const;

  // From now on it watches over the sandbox whose PID 1 is this process, and waits for its end, not
  // for ours. If it cannot do so (any more), it says why on `errors` and ends the sandbox. Without
  // this call it cleans up as soon as the Janitor is gone.
  Status watch(const Fd& pidfd, pid_t process, const Fd& errors);

  // There will be nothing to watch over: it cleans up now.
  void dismiss() { channel_.reset(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  Fd take_pidfd() { return std::move(pidfd_); }

 private:
  pid_t pid_ = -1;
  Fd pidfd_, channel_;
};

}  // namespace oqto::sandbox
