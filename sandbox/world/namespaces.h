// The namespaces of users, IPC and network of a sandbox. The kernel takes longer over a network
// namespace than over everything else of a start, so a caller who knows early that it will need one
// can have it made by a process beside its own, while it finds out what else the sandbox will be.
#pragma once
#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

// In the stage, which has one thread: new ones, the caller's ids as themselves, all capabilities in
// them. A new network is `lo` alone, up. No process in them can make another user namespace in one
// of its own.
Status make_namespaces(bool network);

class Namespaces {
 public:
  Namespaces() = default;  // none
  // Forks; whether it worked, join_namespaces() says. The process has nothing to do but to wait for
  // its end.
  static Result<Namespaces> begin();
  Namespaces(Namespaces&&) = default;
  Namespaces& operator=(Namespaces&& other) noexcept;
  ~Namespaces() { end(); }

  explicit operator bool() const { return static_cast<bool>(process_); }
  [[nodiscard]] const Fd& process() const { return process_; }  // a pidfd
  [[nodiscard]] const Fd& ready() const { return ready_; }

 private:
  void end();
  pid_t pid_ = -1;
  Fd process_, ready_;
};

// In the stage: as make_namespaces(true), with those of a Namespaces. Nobody else can join
// afterwards.
Status join_namespaces(const Fd& process, const Fd& ready);

}  // namespace oqto::sandbox
