// The janitor: a small process outside the sandbox. It places stubs before the start, and more of
// them when the warden asks (warden.h), and removes them when nothing inside is left, also if
// whoever started the sandbox is killed.
#pragma once
#include <sys/types.h>

#include <expected>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {

class Janitor {
 public:
  Janitor() = default;  // none is needed
  static bool is_needed(const Layout& layout) {
    return !layout.stubs.empty() || !layout.covers.empty();
  }

  // Forks. `stage` is its end of a channel (SOCK_SEQPACKET) to the stage. When the
  // stage's end closes and nothing inside is left, it cleans up.
  static std::expected<Janitor, StartFailure> start(const Layout& layout, Fd stage);

  // What went wrong with the stubs, if anything: waits a moment for it.
  std::string complaint() const;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable once it has cleaned up.
  Fd take_channel() { return std::move(channel_); }

 private:
  pid_t pid_ = -1;
  Fd channel_;
};

// The stage's side.
Status await_stubs(const Fd& janitor);  // until all are in place; an error: none is
// From now on the janitor waits for the end of this process: the sandbox's PID 1.
Status entrust(const Fd& janitor, const Fd& pidfd);

}  // namespace oqto::sandbox
