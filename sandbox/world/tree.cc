#include "sandbox/world/tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sandbox/world/paths.h"

namespace oqto::sandbox {

std::unexpected<StartFailure> failed_at(std::string_view path, const char* what) {
  const int error = errno;
  return refuse("`" + std::string(path) + "`: " + what + ": " + ::strerrordesc_np(error));
}

std::unexpected<StartFailure> exchanged(std::string_view path) {
  return refuse("`" + std::string(path) + "` was exchanged while the sandbox was being built");
}

std::expected<Fd, StartFailure> detached(const Fd& from, std::uint64_t attributes,
                                         std::string_view path, Devices devices) {
  Fd tree = Fd::adopt(::open_tree(
      from.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree) return failed_at(path, "open_tree");
  mount_attr attr{};
  attr.attr_set = attributes | MOUNT_ATTR_NOSUID;
  if (devices == Devices::do_nothing) attr.attr_set |= MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return failed_at(path, "mount_setattr");
  }
  return tree;
}

std::expected<void, StartFailure> attach(const Fd& from, const Fd& onto, std::uint64_t attributes,
                                         std::string_view path, Devices devices) {
  const Fd tree = TRY(detached(from, attributes, path, devices));
  if (::move_mount(tree.get(), "", onto.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return failed_at(path, "move_mount");
  }
  return {};
}

std::expected<Fd, StartFailure> find_beneath(const Fd& root, std::string_view inside,
                                             bool directory) {
  Fd at = Fd::adopt(::fcntl(root.get(), F_DUPFD_CLOEXEC, 3));
  if (!at) return failed_at(inside, "dup");
  const std::string_view relative = beneath("/", inside);
  for (std::size_t begin = 0; begin < relative.size();) {
    const std::size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string name(relative.substr(begin, end - begin));
    at = Fd::adopt(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!at || ::fstat(at.get(), &info) != 0) return failed_at(inside, "has no place inside");
    const bool want_directory = directory || end != relative.size();
    if (want_directory ? !S_ISDIR(info.st_mode) : S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode)) {
      errno = ENOTDIR;
      return failed_at(inside, "something else is in the way");
    }
    begin = end + 1;
  }
  return at;
}

std::expected<void, StartFailure> lay(const Cover& cover, const Fd& root, bool check) {
  auto onto = find_beneath(root, cover.inside, cover.directory);
  if (!onto && (cover.if_present || !check)) {
    onto = find_beneath(root, cover.inside, !cover.directory);
    if (!onto && cover.if_present) return {};
  }
  if (!onto) return std::unexpected(onto.error());
  struct stat info {};
  if (::fstat(onto->get(), &info) != 0) return failed_at(cover.inside, "stat");
  if (check && cover.id != FileId{} && cover.id != FileId{info.st_dev, info.st_ino}) {
    return exchanged(cover.inside);
  }
  if (cover.how == Cover::How::empty) {
    const bool directory = S_ISDIR(info.st_mode);
    const Fd mask = TRY(find_beneath(root, directory ? kInsideEmpty : kInsideNothing, directory));
    return attach(mask, *onto, MOUNT_ATTR_RDONLY, cover.inside);
  }
  return attach(*onto, *onto, cover.how == Cover::How::read_only ? MOUNT_ATTR_RDONLY : 0,
                cover.inside);
}

}  // namespace oqto::sandbox
