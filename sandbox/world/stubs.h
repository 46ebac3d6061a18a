// Stubs: empty files and directories that stand where something denied is absent, so that nothing
// inside can create it. They carry a mark, their modification time, which any change to them
// removes: one that somebody has used is not ours any more.
#pragma once
#include <sys/stat.h>

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "sandbox/world/layout.h"

namespace oqto::sandbox {

// What a stub for this name is: the name is all there is to go by.
Stub stub_for(std::string outside, FileId parent, bool directory);
bool looks_like_file(std::string_view name);

// `file` (O_PATH or not) is `info`, and unchanged since it was made.
bool is_stub(int file, const struct stat& info, std::string_view path);

// Stubs in place, and the locks that say that somebody needs them: a shared flock(2) on each of
// their directories. Several sandboxes may need the same stub at the same time; the last one
// removes it.
class PlacedStubs {
 public:
  // Takes the lock, and makes the stub or adopts the one that is there. Errc::unavailable:
  // something else has appeared in the place.
  Status place(const Stub& stub);

  // The same with the directory open already, for one that is missing while the sandbox runs.
  Status place_in(Fd directory, const Stub& stub);

  // Gives the locks up; removes what is unchanged and nobody else needs.
  void remove();

 private:
  struct Directory {
    FileId id;
    Fd fd;
  };
  struct Placed {
    std::size_t directory;  // in directories_
    std::string path;
    bool is_directory;
  };
  Result<std::size_t> lock(Fd directory, const FileId& expected);

  std::vector<Directory> directories_;
  std::vector<Placed> placed_;
};

}  // namespace oqto::sandbox
