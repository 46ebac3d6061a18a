// argon2id away from the loop: a few worker threads, bounded lines of what waits, and a descriptor that
// becomes readable when results wait for deliver(). Two lines: for those who have shown something that a
// stranger does not have (a known device, a login, an invitation), and for strangers. One worker serves
// the one line first, the other the other: neither starves. In a line, sources have their turn one after
// the other, and whoever waits with many gives way to whoever waits with few.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::accounts {

constexpr std::size_t kHashWorkers = 2;      // 64 MiB each while they work
constexpr std::size_t kMaxQueuedHashes = 24;  // in each line
constexpr std::size_t kMaxQueuedBySource = 4;

struct HashSource {
  bool trusted = false;  // its line
  std::string name;
};

struct HashJob {
  HashSource source;
  std::string password;   // wiped when done
  std::string against;    // verify against this hash; empty: make one
  std::string next;       // if it was verified, make the hash of this one; wiped when done
};

struct HashDone {
  bool ok = false;       // verified, or made
  bool gave_way = false;  // not looked at: others were waiting with less
  std::string new_hash;  // made; or what should replace an outdated hash that was verified
};

class Hasher {
 public:
  using Callback = std::function<void(const HashDone&)>;

  // Starts the threads: after sealing.
  static Result<std::unique_ptr<Hasher>> start();
  ~Hasher();  // finishes what runs, forgets what waits

  // On the loop's thread, and submit() only if there is room. So is the callback, from deliver().
  [[nodiscard]] bool has_room(const HashSource& source);
  void submit(HashJob job, Callback callback);
  void deliver();
  [[nodiscard]] const Fd& fd() const { return event_; }

 private:
  struct Task {
    HashJob job;
    HashDone done;
    Callback callback;
  };
  class Line {
   public:
    [[nodiscard]] bool has_room(const std::string& source) const;
    std::optional<Task> push(Task task);  // returns the one that gave way to it
    std::optional<Task> pop();            // the next source's oldest

   private:
    using Sources = std::map<std::string, std::deque<Task>>;
    [[nodiscard]] Sources::const_iterator longest() const;
    Sources sources_;
    std::deque<std::string> turns_;  // each source that waits, once
    std::size_t size_ = 0;
  };
  explicit Hasher(Fd event) : event_(std::move(event)) {}
  void work(std::size_t number);
  void finish(Task task);  // the mutex is held

  Fd event_;
  std::mutex mutex_;  // what follows is shared
  std::condition_variable wake_;
  Line strangers_, trusted_;
  std::vector<Task> finished_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace oqto::accounts
