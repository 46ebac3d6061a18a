#include "ipc/loop.h"

#include <signal.h>
#include <sys/signalfd.h>

namespace oqto::ipc {

Result<Loop> Loop::create() {
  Fd epoll = Fd::adopt(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno("epoll_create1");
  return Loop(std::move(epoll));
}

Status Loop::watch(const Fd& fd, Watcher& watcher, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.ptr = &watcher}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return fail_errno("epoll_ctl(ADD)");
  }
  return {};
}

Status Loop::rewatch(const Fd& fd, Watcher& watcher, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.ptr = &watcher}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd.get(), &event) != 0) {
    return fail_errno("epoll_ctl(MOD)");
  }
  return {};
}

void Loop::unwatch(const Fd& fd, Watcher& watcher) {
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), nullptr);
  // Events of this batch that still name the watcher must not reach it.
  for (int i = 0; i < ready_; ++i) {
    epoll_event& event = batch_[static_cast<std::size_t>(i)];
    if (event.data.ptr == &watcher) event.data.ptr = nullptr;
  }
}

Status Loop::run_once(int timeout_ms) {
  ready_ = ::epoll_wait(epoll_.get(), batch_.data(), kBatch, timeout_ms);
  if (ready_ < 0) {
    ready_ = 0;
    if (errno == EINTR) return {};
    return fail_errno("epoll_wait");
  }
  for (int i = 0; i < ready_; ++i) {
    const epoll_event& event = batch_[static_cast<std::size_t>(i)];
    if (event.data.ptr != nullptr) static_cast<Watcher*>(event.data.ptr)->on_ready(event.events);
  }
  ready_ = 0;
  return {};
}

Result<Fd> signal_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  Fd fd = Fd::adopt(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail_errno("signalfd");
  return fd;
}

}  // namespace oqto::ipc
