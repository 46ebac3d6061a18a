#include "accounts/hasher.h"

#include <sys/eventfd.h>

#include <algorithm>

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
    if (done.ok && !job.next.empty()) {
      done.new_hash = hash_password(job.next);
    } else if (done.ok && is_outdated(job.against)) {
      done.new_hash = hash_password(job.password);
    }
  }
  wipe(job.password);
  wipe(job.next);
  return done;
}

}  // namespace

// --- one line ------------------------------------------------------------------------------------

Hasher::Line::Sources::const_iterator Hasher::Line::longest() const {
  return std::max_element(sources_.begin(), sources_.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
}

bool Hasher::Line::has_room(const std::string& source) const {
  const auto own = sources_.find(source);
  const std::size_t waiting = own == sources_.end() ? 0 : own->second.size();
  if (waiting >= kMaxQueuedBySource) return false;
  return size_ < kMaxQueuedHashes || longest()->second.size() > waiting + 1;
}

std::optional<Hasher::Task> Hasher::Line::push(Task task) {
  std::optional<Task> gave_way;
  if (size_ >= kMaxQueuedHashes) {  // has_room(): the longest has two or more, and keeps its turn
    auto& most = sources_.find(longest()->first)->second;
    gave_way = std::move(most.back());
    most.pop_back();
    --size_;
  }
  auto& own = sources_[task.job.source.name];
  if (own.empty()) turns_.push_back(task.job.source.name);
  own.push_back(std::move(task));
  ++size_;
  return gave_way;
}

std::optional<Hasher::Task> Hasher::Line::pop() {
  if (turns_.empty()) return std::nullopt;
  const auto own = sources_.find(turns_.front());
  Task task = std::move(own->second.front());
  own->second.pop_front();
  --size_;
  if (own->second.empty()) {
    sources_.erase(own);
  } else {
    turns_.push_back(turns_.front());
  }
  turns_.pop_front();
  return task;
}

// --- the workers ---------------------------------------------------------------------------------

Result<std::unique_ptr<Hasher>> Hasher::start() {
  Fd event = Fd::adopt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail_errno("eventfd");
  std::unique_ptr<Hasher> hasher(new Hasher(std::move(event)));
  try {
    for (std::size_t i = 0; i < kHashWorkers; ++i) {
      hasher->threads_.emplace_back([raw = hasher.get(), i] { raw->work(i); });
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

bool Hasher::has_room(const HashSource& source) {
  const std::lock_guard lock(mutex_);
  return (source.trusted ? trusted_ : strangers_).has_room(source.name);
}

void Hasher::submit(HashJob job, Callback callback) {
  {
    const std::lock_guard lock(mutex_);
    Line& line = job.source.trusted ? trusted_ : strangers_;
    CHECK(line.has_room(job.source.name));
    auto gave_way = line.push(Task{std::move(job), {}, std::move(callback)});
    if (gave_way) {
      wipe(gave_way->job.password);
      wipe(gave_way->job.next);
      gave_way->done.gave_way = true;
      finish(*std::move(gave_way));
    }
  }
  wake_.notify_one();
}

void Hasher::finish(Task task) {
  finished_.push_back(std::move(task));
  const std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);  // full means that it is readable already
}

void Hasher::work(std::size_t number) {
  Line& first = number == 0 ? trusted_ : strangers_;
  Line& second = number == 0 ? strangers_ : trusted_;
  std::unique_lock lock(mutex_);
  for (;;) {
    std::optional<Task> task;
    wake_.wait(lock, [&] {
      if (stopping_) return true;
      task = first.pop();
      if (!task) task = second.pop();
      return task.has_value();
    });
    if (stopping_) return;
    lock.unlock();
    task->done = run(task->job);
    lock.lock();
    finish(*std::move(task));
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
  for (Task& task : finished) task.callback(task.done);
}

}  // namespace oqto::accounts
