#include "mux/reactor.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace oqto::mux {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

struct Reactor::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(context);
};

struct Watch::State : std::enable_shared_from_this<State> {
  State(asio::io_context& context, int fd) : descriptor(context, fd) {}

  void wait() {
    if (waiting || paused || closed) return;
    waiting = true;
    descriptor.async_wait(Descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->waiting = false;
                            if (error || self->closed || self->paused) return;
                            self->on_readable();
                            self->wait();
                          });
  }
  void close() {
    closed = true;
    (void)descriptor.release();  // the descriptor is not ours to close
  }

  Descriptor descriptor;
  Task on_readable;
  bool waiting = false;
  bool paused = false;
  bool closed = false;
};

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    if (state_) state_->close();
    state_ = std::move(other.state_);
  }
  return *this;
}

Watch::~Watch() {
  if (state_) state_->close();
}

void Watch::when_writable(Task task) {
  state_->descriptor.async_wait(
      Descriptor::wait_write,
      [self = state_, task = std::move(task)](const boost::system::error_code& error) {
        if (!error && !self->closed) task();
      });
}

void Watch::pause() { state_->paused = true; }

void Watch::resume() {
  state_->paused = false;
  state_->wait();
}

Reactor::Reactor() : impl_(std::make_unique<Impl>()) {}
Reactor::~Reactor() = default;
void Reactor::run() { impl_->context.run(); }
void Reactor::stop() { impl_->context.stop(); }
void Reactor::post(Task task) { asio::post(impl_->context, std::move(task)); }
asio::io_context& Reactor::context() { return impl_->context; }

Timer Reactor::after(std::uint64_t ms, Task task) {
  Timer handle;
  handle.state_ = std::make_shared<bool>(true);
  auto timer = std::make_shared<asio::steady_timer>(impl_->context, std::chrono::milliseconds(ms));
  timer->async_wait([timer, task = std::move(task), armed = std::weak_ptr<bool>(handle.state_)](
                        const boost::system::error_code& error) {
    const auto alive = armed.lock();
    if (error || !alive) return;
    *alive = false;
    task();
  });
  return handle;
}

Watch Reactor::watch(const Fd& fd, Task on_readable) {
  Watch watch;
  watch.state_ = std::make_shared<Watch::State>(impl_->context, fd.get());
  watch.state_->on_readable = std::move(on_readable);
  watch.state_->wait();
  return watch;
}

}  // namespace oqto::mux
