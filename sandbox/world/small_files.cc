#include "sandbox/world/small_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

Fd open_without_links(const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return Fd::adopt(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

}  // namespace

std::optional<std::string> read_small_file(const std::string& path, std::size_t max_bytes) {
  const Fd fd = open_without_links(path, 0);
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  auto text = sys::read_all(fd, max_bytes);
  if (!text) return {};
  return std::move(*text);
}

std::vector<std::string> list_directory(const std::string& path, std::size_t max) {
  return list_directory(open_without_links(path, O_DIRECTORY), max);
}

std::vector<std::string> list_directory(Fd fd, std::size_t max) {
  std::vector<std::string> names;
  if (!fd) return names;
  const auto close = [](DIR* dir) { (void)::closedir(dir); };
  const std::unique_ptr<DIR, decltype(close)> dir(::fdopendir(fd.get()), close);
  if (dir == nullptr) return names;
  (void)fd.release();
  while (names.size() < max) {
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

}  // namespace oqto::sandbox
