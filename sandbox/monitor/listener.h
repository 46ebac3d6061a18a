// The descriptor of seccomp notifications: system calls that stopped in the kernel until we answer.
#pragma once
#include <linux/seccomp.h>

#include <cstdint>
#include <optional>

#include "base/fd.h"

namespace oqto::sandbox {

class Listener {
 public:
  explicit Listener(Fd fd);

  enum class State { quiet, ready, finished };  // finished: no task with our filter is left
  [[nodiscard]] State state() const;

  // Does not wait if state() is ready.
  [[nodiscard]] std::optional<seccomp_notif> receive() const;

  // True while the caller waits for the answer: only then was what we have read about it its own,
  // and not that of a successor to its number.
  [[nodiscard]] bool is_waiting(std::uint64_t id) const;

  // False if the caller is gone.
  bool go_on(std::uint64_t id) const;  // the kernel does the call, with what it finds then
  bool refuse(std::uint64_t id, int error) const;
  // The call returns a new descriptor for the same open file. 0, or errno (EMFILE: the caller has
  // too many); then it still waits.
  int give(std::uint64_t id, const Fd& file, bool close_on_exec) const;

  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  [[nodiscard]] bool answer(std::uint64_t id, int error, std::uint32_t flags) const;
  Fd fd_;
};

}  // namespace oqto::sandbox
