// The warden: while a sandbox runs, somebody outside may replace a file that is covered inside, as
// editors and `git config` do, and the kernel then takes the cover away with the old file. The
// warden notices, in the sandbox's own mount namespace, and covers what has taken the place. It is
// what the stage becomes. The janitor (janitor.h) cannot do this: what is a mount point in a
// process's own mount namespace it cannot remove, and the janitor removes stubs.
#pragma once
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/world/layout.h"
#include "sandbox/world/stubs.h"

namespace oqto::sandbox {

class Warden {
 public:
  // In the sandbox's mount namespace, while the host's /proc is there.
  static Result<Warden> open(const Layout& layout);

  // Once the sandbox's root is this process's: from here on, what happens is noticed.
  Status watch();

  // Whether anything is covered that somebody outside could uncover.
  [[nodiscard]] bool has_work() const { return !covers_.empty() || !mounts_.empty(); }

  // Until a cover may be missing (one was taken away, or something was moved), which is true, or
  // until `end` is readable, which is false.
  [[nodiscard]] bool wait(const Fd& end) const;

  // Lays what is missing again; where nothing is left to cover, the janitor at the other end of the
  // channel is asked for a stub. An error: something cannot be denied any more, and the sandbox
  // must end.
  std::expected<void, StartFailure> restore(const Fd& janitor);

 private:
  std::expected<void, StartFailure> restore(const Cover& cover, const Fd& janitor);
  void watch_directories();
  [[nodiscard]] bool concerns_a_cover() const;
  std::vector<Cover> covers_;
  std::vector<std::string> mounts_;  // that lie in a directory of the host's
  Fd changes_;                       // mountinfo: POLLPRI when mounts change
  Fd moves_;  // inotify, or none: what is moved away keeps its cover, and no mount changes
  Fd root_;
};

// The janitor's side: one request for a stub, and its answer.
Status serve_warden(const Fd& channel, PlacedStubs& stubs);

}  // namespace oqto::sandbox
