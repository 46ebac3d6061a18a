// The tree of a sandbox, all of it but /proc, built in the stage's own mount namespace by
// descriptor: each source is opened again without following a symbolic link, compared with what was
// checked, and mounted as what it is. Destinations are found the same way.
#pragma once
#include <expected>
#include <functional>

#include "sandbox/layout.h"

namespace oqto::sandbox {

// The stage's tmpfs lies over /sys, which every host has and no sandbox is shown.
constexpr const char* kStageTmpfs = "/sys";
constexpr const char* kStageRoot = "/sys/root";

// `stubs_are_in_place` waits for it; false: they will not be, and somebody else says why.
std::expected<void, StartFailure> build_tree(const World& world, const Layout& layout,
                                             const std::function<bool()>& stubs_are_in_place);

}  // namespace oqto::sandbox
