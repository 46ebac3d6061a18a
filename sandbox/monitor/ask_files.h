// Files that are hidden in a session, and that its user may let a program read. A program never
// gets the file itself: it gets a sealed copy in memory, so nothing it can do with the descriptor
// reaches the host's file, its directory or its file system.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxAskFileBytes = 16 * 1024 * 1024;        // of one file
constexpr std::uint64_t kMaxCopiedBytes = 1024ULL * 1024 * 1024;  // in one session
constexpr std::size_t kMaxKeptCopies = 32;

struct AskPath {
  std::string inside;      // absolute, normalised: a file, or a directory with all that is in it
  Fd parent;               // of the host: the directory that holds it (O_PATH)
  std::string name;        // in `parent`
  bool automatic = false;  // no question, but a record
  bool denied = false;     // an exception within another: nothing of it is ever given
};

// Before sealing: `outside` is absolute, and no part of it but the last may be a symbolic link. The
// file itself need not exist yet; Errc::io if its directory does not.
Result<AskPath> open_ask_path(std::string inside, const std::string& outside, bool automatic);

inline AskPath denied_path(std::string inside) {
  return {.inside = std::move(inside), .parent = {}, .name = {}, .denied = true};
}

class AskFiles {
 public:
  explicit AskFiles(std::vector<AskPath> paths) : paths_(std::move(paths)) {}

  [[nodiscard]] bool empty() const { return paths_.empty(); }

  // The nearest ask path that `path` (inside, normalised) is or lies below; null if none, or if that
  // one is denied.
  [[nodiscard]] const AskPath* find(std::string_view path) const;

  // A regular file: of anything else the mask shows as much as there is to see.
  [[nodiscard]] bool is_file(const AskPath& ask, std::string_view path) const;

  // A read-only descriptor of a copy, as the file is now. Errc::limit: too large.
  Result<Fd> copy(const AskPath& ask, std::string_view path);

 private:
  struct Copy {
    std::string path;
    struct stat of;
    Fd memory;
  };
  static Result<Fd> open(const AskPath& ask, std::string_view path, struct stat& info);
  Result<Copy> make(std::string_view path, const Fd& file, const struct stat& info);

  std::vector<AskPath> paths_;
  std::deque<Copy> copies_;  // the latest: a file that has not changed is not copied again
  std::uint64_t copied_ = 0;
};

}  // namespace oqto::sandbox
