#include "audit/auditd/commit_thread.h"

#include <sys/eventfd.h>

#include <utility>

namespace oqto::audit {

Result<std::unique_ptr<CommitThread>> CommitThread::start() {
  Fd done = Fd::adopt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!done) return fail_errno("eventfd");
  auto started = std::unique_ptr<CommitThread>(new CommitThread(std::move(done)));
  started->thread_ = std::thread([&self = *started] { self.work(); });
  return started;
}

CommitThread::~CommitThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CommitThread::run(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    job_ = std::move(job);
    is_done_ = false;
  }
  changed_.notify_all();
}

void CommitThread::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return is_done_; });
  eventfd_t count = 0;
  (void)::eventfd_read(done_.get(), &count);
}

bool CommitThread::is_done() {
  const std::lock_guard lock(mutex_);
  return is_done_;
}

void CommitThread::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return job_ || stopping_; });
    if (!job_) return;
    const auto job = std::exchange(job_, {});
    lock.unlock();
    job();
    lock.lock();
    is_done_ = true;
    (void)::eventfd_write(done_.get(), 1);
    changed_.notify_all();
  }
}

}  // namespace oqto::audit
