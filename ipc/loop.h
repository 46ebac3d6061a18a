// Loop: epoll for the single-threaded processes (guard, auditd, accounts, launcher). Handlers are
// short and never block. Watching and unwatching inside a handler is allowed.
#pragma once
#include <sys/epoll.h>

#include <array>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::ipc {

class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void on_ready(std::uint32_t events) = 0;  // EPOLLIN, EPOLLOUT, EPOLLHUP …
};

class Loop {
 public:
  static Result<Loop> create();
  // `watcher` must outlive the watch: call unwatch before either is destroyed.
  Status watch(const Fd& fd, Watcher& watcher, std::uint32_t events = EPOLLIN);
  Status rewatch(const Fd& fd, Watcher& watcher, std::uint32_t events);
  void unwatch(const Fd& fd, Watcher& watcher);
  // Waits up to timeout_ms (-1: for ever) and calls the watchers that are ready.
  Status run_once(int timeout_ms);

 private:
  static constexpr int kBatch = 64;
  explicit Loop(Fd epoll) : epoll_(std::move(epoll)) {}
  Fd epoll_;
  std::array<epoll_event, kBatch> batch_{};
  int ready_ = 0;
};

// SIGTERM, SIGINT and friends as a descriptor: blocks them and returns a signalfd.
Result<Fd> signal_fd(std::initializer_list<int> signals);

}  // namespace oqto::ipc
