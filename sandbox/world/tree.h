// Mounting by descriptor: nothing here names a source or a destination by a path that is looked up
// again.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "sandbox/world/layout.h"

namespace oqto::sandbox {

// "`PATH`: what: the kernel's reason", from errno.
std::unexpected<StartFailure> failed_at(std::string_view path, const char* what);
std::unexpected<StartFailure> exchanged(std::string_view path);

enum class Devices : std::uint8_t { do_nothing, work };

// A copy of the mount (and what is mounted in it) at `from`, mounted nowhere yet, with these
// MOUNT_ATTR_ and always nosuid. `path` is for errors.
std::expected<Fd, StartFailure> detached(const Fd& from, std::uint64_t attributes,
                                         std::string_view path,
                                         Devices devices = Devices::do_nothing);

// The same on top of `onto`.
std::expected<void, StartFailure> attach(const Fd& from, const Fd& onto, std::uint64_t attributes,
                                         std::string_view path,
                                         Devices devices = Devices::do_nothing);

// `inside` below `root` (the root of a sandbox), component by component, no symbolic link followed.
// Not there, or of another kind: an error; errno is ENOENT only if it is not there.
std::expected<Fd, StartFailure> find_beneath(const Fd& root, std::string_view inside,
                                             bool directory);

// What `empty` covers show, below the root of every sandbox.
constexpr const char* kInsideEmpty = "/opt/oqto/empty";
constexpr const char* kInsideNothing = "/opt/oqto/nothing";

// Lays one cover. `check`: what lies there must be cover.id.
std::expected<void, StartFailure> lay(const Cover& cover, const Fd& root, bool check);

}  // namespace oqto::sandbox
