// The tree of a sandbox, all of it but /proc, built in the stage's own mount namespace by
// descriptor: each source is opened again without following a symbolic link, compared with what was
// checked, and mounted as what it is. Destinations are found the same way.
#pragma once
#include <sys/types.h>

#include <expected>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {

// The stage's tmpfs lies over /sys, which every host has and no sandbox is shown.
constexpr const char* kStageTmpfs = "/sys";
constexpr const char* kStageRoot = "/sys/root";

class Tree {
 public:
  using Outcome = std::expected<void, StartFailure>;
  using Opened = std::expected<Fd, StartFailure>;

  Tree(const World& world, const Layout& layout) : world_(world), layout_(layout) {}

  // In this order. The root, with an empty /proc.
  Outcome begin();
  // What no policy says anything about.
  Outcome furnish();
  // Every mount and cover; the stubs must be in place.
  Outcome fill();
  // What of /proc, which must be mounted by now, tells about the host and is of no use inside.
  Outcome hide_host();
  // The tree becomes the root of every process of this mount namespace; the host's goes.
  Outcome enter();

  // oqto-init on a mount of its own, which keeps nothing else of the host: for execveat(2).
  Opened init_program();

 private:
  Outcome make_stage();
  Outcome make_root();
  Outcome make_devices();
  Outcome make_read_only();
  Outcome add(const Mount& mount);
  Opened source(const Mount& mount);
  Opened place(std::string_view inside, bool directory, bool make);
  Opened step(const Fd& parent, const std::string& name, bool directory, bool make,
              std::string_view inside);
  Opened make_directory(const char* name, mode_t mode);
  Opened make_file(const char* name, std::string_view content, mode_t mode);
  [[nodiscard]] bool is_stage(const Fd& fd) const;

  const World& world_;
  const Layout& layout_;
  Fd stage_, root_;
  dev_t device_ = 0;
  int made_ = 0;
};

}  // namespace oqto::sandbox
