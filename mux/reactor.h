// One thread of control: timers, descriptors and posted work (Asio underneath, seen by
// reactor.cc and web_socket.cc alone). Everything but post() is for that thread only.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "base/fd.h"

namespace boost::asio {
class io_context;
}

namespace oqto::mux {

using Task = std::function<void()>;

// Runs once, unless it is destroyed or set again before.
class Timer {
 public:
  Timer() = default;
  void cancel() { state_.reset(); }
  [[nodiscard]] bool armed() const { return state_ != nullptr && *state_; }

 private:
  friend class Reactor;
  std::shared_ptr<bool> state_;  // true until it has run; the pending wait holds a weak pointer
};

// Calls on_readable whenever the descriptor is readable (or at its end), and the task of
// when_writable once it is writable, until destroyed. The descriptor must outlive the watch.
class Watch {
 public:
  Watch() = default;
  void when_writable(Task task);
  void pause();   // stop calling on_readable …
  void resume();  // … and go on
  void reset() { *this = Watch(); }

  struct State;
  Watch(Watch&&) = default;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch();

 private:
  friend class Reactor;
  std::shared_ptr<State> state_;
};

class Reactor {
 public:
  Reactor();
  ~Reactor();
  void run();   // until stop()
  void stop();
  void post(Task task);  // from any thread
  [[nodiscard]] Timer after(std::uint64_t ms, Task task);
  [[nodiscard]] Watch watch(const Fd& fd, Task on_readable);
  boost::asio::io_context& context();

  // Destroys the object after the current task: for what ends while it is being called.
  template <class T>
  void dispose(T object) {
    post([held = std::make_shared<T>(std::move(object))] {});
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oqto::mux
