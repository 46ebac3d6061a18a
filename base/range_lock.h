// A range of numbers (uids) that one process of this machine holds until it ends, however it ends: a
// byte range lock of the kernel on one file, so that ranges which merely overlap meet too. Its place is
// the same for all, whatever they are called and wherever their files are.
#pragma once
#include <cstdint>
#include <expected>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace oqto {

class RangeLock {
 public:
  static constexpr const char* kDirectory = "/run/oqto";  // root's; of this boot

  // Uids that this user namespace does not have are refused too: a rootless container has few. `holder` is what the others are told of us. The error is a sentence: who has a part of the range, or
  // why nothing can be locked here. The process must open the lock's file only here: the kernel gives up
  // all its locks when it closes any descriptor of it.
  static std::expected<RangeLock, std::string> take(const std::string& directory, std::uint64_t first,
                                                    std::uint64_t count, const std::string& holder);

  // At the one place of all, if no user of this machine has one of them; says in the log why not.
  static Result<RangeLock> take_uids(std::uint64_t first, std::uint64_t count, const std::string& holder);

 private:
  explicit RangeLock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

}  // namespace oqto
