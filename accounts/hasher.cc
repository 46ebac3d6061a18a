#include "accounts/hasher.h"

#include <sys/eventfd.h>

#include "accounts/secrets.h"

namespace oqto::accounts {
namespace {

HashDone run(HashJob& job) {
  HashDone done;
  if (job.against.empty()) {
    done.new_hash = hash_password(job.password);
    done.ok = !done.new_hash.empty();
  } else {
    done.ok = verify_password(job.password, job.against);
    if (done.ok && is_outdated(job.against)) done.new_hash = hash_password(job.password);
  }
  wipe(job.password);
  return done;
}

}  // namespace

Result<std::unique_ptr<Hasher>> Hasher::start() {
  Fd event = Fd::adopt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail_errno("eventfd");
  std::unique_ptr<Hasher> hasher(new Hasher(std::move(event)));
  try {
    for (std::size_t i = 0; i < kHashWorkers; ++i) {
      hasher->threads_.emplace_back([raw = hasher.get()] { raw->work(); });
    }
  } catch (const std::system_error&) {
    return fail(Errc::unavailable, "a thread cannot be started");
  }
  return hasher;
}

Hasher::~Hasher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Hasher::submit(HashJob job, Callback callback) {
  CHECK(!full());
  ++outstanding_;
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(Task{std::move(job), {}, std::move(callback)});
  }
  wake_.notify_one();
}

void Hasher::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    task.done = run(task.job);
    lock.lock();
    finished_.push_back(std::move(task));
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);  // full means that it is readable already
  }
}

void Hasher::deliver() {
  std::uint64_t count = 0;
  (void)!::read(event_.get(), &count, sizeof count);
  std::vector<Task> finished;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
  }
  for (Task& task : finished) {
    --outstanding_;
    task.callback(task.done);
  }
}

}  // namespace oqto::accounts
