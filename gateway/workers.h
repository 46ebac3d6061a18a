// The threads that read large texts, so that the loop never does. Accounts take turns, and one thread takes small
// texts only: nobody waits for another's large one.
#pragma once
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace oqto::gateway {

namespace asio = boost::asio;

class Workers {
 public:
  static constexpr std::size_t kSmall = std::size_t{1} << 20;

  // `io` outlives it.
  explicit Workers(asio::io_context& io);
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers();  // waits for what is being done; what waits is dropped

  // Does the job, which touches nothing of others, on a thread. False: it ended by an exception (no memory).
  asio::awaitable<bool> run(std::uint32_t account, std::size_t bytes, std::function<void()> job);

 private:
  struct Job {
    std::function<void()> work;
    std::function<void(bool)> done;
    bool large = false;
  };
  // Of each account its jobs in order; the account that was served goes to the end.
  class Line {
   public:
    void put(std::uint32_t account, Job job);
    [[nodiscard]] bool empty() const { return turns_.empty(); }
    Job take();

   private:
    std::map<std::uint32_t, std::deque<Job>> waiting_;
    std::deque<std::uint32_t> turns_;
  };
  void work(bool takes_large);

  asio::io_context& io_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Line small_, large_;
  bool stopping_ = false;
  std::array<std::thread, 2> threads_;
};

}  // namespace oqto::gateway
