#include "gateway/workers.h"

#include <malloc.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>

#include "base/log.h"

namespace oqto::gateway {

void Workers::Line::put(std::uint32_t account, Job job) {
  auto& own = waiting_[account];
  if (own.empty()) turns_.push_back(account);
  own.push_back(std::move(job));
}

Workers::Job Workers::Line::take() {
  const std::uint32_t account = turns_.front();
  turns_.pop_front();
  const auto own = waiting_.find(account);
  Job job = std::move(own->second.front());
  own->second.pop_front();
  if (own->second.empty()) {
    waiting_.erase(own);
  } else {
    turns_.push_back(account);
  }
  return job;
}

Workers::Workers(asio::io_context& io) : io_(io) {
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    threads_[i] = std::thread([this, i] { work(i == 0); });
  }
}

Workers::~Workers() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

asio::awaitable<bool> Workers::run(std::uint32_t account, std::size_t bytes, std::function<void()> job) {
  struct Wait {
    explicit Wait(asio::io_context& io) : timer(io, asio::steady_timer::time_point::max()) {}
    asio::steady_timer timer;
    bool good = false;
  };
  const auto wait = std::make_shared<Wait>(io_);
  // The answer comes through the loop, so not before this waits for it.
  auto done = [this, wait](bool good) {
    asio::post(io_, [wait, good] {
      wait->good = good;
      wait->timer.cancel();
    });
  };
  {
    const std::scoped_lock lock(mutex_);
    Job made{std::move(job), std::move(done), bytes > kSmall};
    (made.large ? large_ : small_).put(account, std::move(made));
  }
  changed_.notify_all();
  boost::system::error_code ignored;
  co_await wait->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return wait->good;
}

void Workers::work(bool takes_large) {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !small_.empty() || (takes_large && !large_.empty()); });
      if (stopping_) return;
      job = takes_large && !large_.empty() ? large_.take() : small_.take();
    }
    bool good = true;
    try {
      job.work();
    } catch (const std::exception&) {
      good = false;
      log::error("a request was not read: there is no memory for it");
    }
    job.work = {};  // and what it holds, on this thread
    if (job.large) ::malloc_trim(0);  // what a tree of small pieces leaves behind
    job.done(good);
  }
}

}  // namespace oqto::gateway
