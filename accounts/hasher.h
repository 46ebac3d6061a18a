// argon2id away from the loop: a few worker threads, a bounded queue, and a descriptor that becomes
// readable when results wait for deliver().
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::accounts {

constexpr std::size_t kHashWorkers = 2;  // 64 MiB each while they work
constexpr std::size_t kMaxQueuedHashes = 16;

struct HashJob {
  std::string password;  // wiped when done
  std::string against;   // verify against this hash; empty: make one
};

struct HashDone {
  bool ok = false;       // verified, or made
  std::string new_hash;  // made; or what should replace an outdated hash that was verified
};

class Hasher {
 public:
  using Callback = std::function<void(const HashDone&)>;

  // Starts the threads: after sealing.
  static Result<std::unique_ptr<Hasher>> start();
  ~Hasher();  // finishes what runs, forgets what waits

  [[nodiscard]] bool full() const { return outstanding_ >= kHashWorkers + kMaxQueuedHashes; }
  // On the loop's thread, and only if not full(). So is the callback, from deliver().
  void submit(HashJob job, Callback callback);
  void deliver();
  [[nodiscard]] const Fd& fd() const { return event_; }

 private:
  struct Task {
    HashJob job;
    HashDone done;
    Callback callback;
  };
  explicit Hasher(Fd event) : event_(std::move(event)) {}
  void work();

  Fd event_;
  std::size_t outstanding_ = 0;  // of the loop's thread
  std::mutex mutex_;             // what follows is shared
  std::condition_variable wake_;
  std::deque<Task> waiting_;
  std::vector<Task> finished_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace oqto::accounts
