// Follows the log on a thread of its own and keeps the index: the log's writer never waits for it,
// nor does anybody who reads. An index that is missing, damaged or of another log is made again.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "audit/read/reader.h"
#include "audit/read/relations.h"
#include "auditor/index.h"
#include "auditor/log_view.h"

namespace oqto::auditor {

class Follower {
 public:
  // `on_growth` is called from the thread, with how many entries are new that
  // somebody did: all but the records of reading.
  using OnGrowth = std::function<void(std::uint64_t acts)>;
  Follower(std::string log_dir, std::string state_dir, OnGrowth on_growth);
  ~Follower();  // ends the thread
  Follower(const Follower&) = delete;

  struct State {
    std::uint64_t first = 0;  // of what is indexed
    std::uint64_t next = 0;
    std::uint64_t generation = 0;  // counts the index files
    std::string trouble;           // why it does not follow; empty if it does
  };
  [[nodiscard]] State state() const;

  // An entry that is committed, and may not be in the tiles yet.
  [[nodiscard]] std::optional<std::string> recent(std::uint64_t index) const;

  void make_again();  // the index was found to be damaged

  static constexpr std::uint64_t kPollMs = 100;
  static constexpr std::uint64_t kRetryMs = 2000;
  static constexpr std::uint64_t kGoneMs = 10'000;  // a log shorter than its index is another one
  static constexpr std::size_t kBatch = 4096;       // entries of one transaction
  static constexpr std::size_t kMaxRecentBytes = 32 * 1024 * 1024;

 private:
  void run();
  Status follow();  // until it is told to stop, or something is wrong
  Status open_index();
  Status take(std::uint64_t index, std::string_view entry);
  [[nodiscard]] std::optional<std::string> earlier(std::uint64_t index);
  Status check_anchor(std::uint64_t index, std::string_view entry);
  Status check_gone();
  Status keep_recent(std::uint64_t index, std::string_view entry);
  void forget_published();
  Status commit();
  Status useless(const char* why);  // the index is: it is removed, and made again
  bool wait(std::uint64_t ms);      // true: stop

  const std::string log_dir_;
  const std::string state_dir_;
  const OnGrowth on_growth_;

  // Of the thread alone.
  std::optional<LogView> view_;
  std::optional<audit::LogReader> reader_;
  std::optional<IndexWriter> index_;
  std::optional<audit::Relations> relations_;
  bool is_useless_ = false;
  bool anchored_ = false;  // the index is known to be of this log
  std::uint64_t waiting_since_ms_ = 0;
  std::size_t uncommitted_ = 0;
  std::uint64_t acts_ = 0;
  std::uint64_t published_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  State state_;
  std::deque<std::string> recent_;
  std::uint64_t recent_first_ = 0;
  std::size_t recent_bytes_ = 0;
  std::atomic<bool> remake_ = false;
  std::thread thread_;
};

}  // namespace oqto::auditor
