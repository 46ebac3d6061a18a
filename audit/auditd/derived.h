// The derived files: entry bundles, hash tiles and the checkpoint, each written aside and renamed.
// The files of a checkpoint are in place before the checkpoint is, so that the directory verifies at
// every instant (but for a power cut, until the next start). A failure here loses nothing: all of it
// is made again from the segments.
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "audit/auditd/tiles.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

// Writes the files in the order in which they come, in the calling thread.
// The half full tiles of every checkpoint stay until the full one is there (C2SP tlog-tiles), so that
// whoever kept that checkpoint can check it; of bundles, as many of the newest as kMaxBundles has room for.
class DerivedFiles {
 public:
  static constexpr std::size_t kMaxBundles = std::size_t{64} << 20;  // bytes, of one bundle
  explicit DerivedFiles(Fd log_dir) : dir_(std::move(log_dir)) {}
  Status write_full(const TileFile& file);
  // The half full ones, and then the checkpoint over them all.
  Status write_checkpoint(const std::vector<TileFile>& partials, std::string_view note);

 private:
  Fd dir_;
  bool has_written_ = false;  // a checkpoint, since the start
};

// The same in a thread of its own, so that no record waits for these files. What fails is tried again.
class Derived {
 public:
  // Call after sealing: the thread is sealed too.
  static std::unique_ptr<Derived> start(Fd log_dir);
  ~Derived();  // what is still to be written is left
  Derived(const Derived&) = delete;
  Derived& operator=(const Derived&) = delete;

  // Waits while much is to be written. Errc::limit: that does not get less, because writing fails.
  Status wait_for_room();
  [[nodiscard]] bool has_room();  // without waiting
  void write_full(std::vector<TileFile> files);
  void publish(std::vector<TileFile> partials, std::string note);
  // Waits until all is written; an error if it cannot be.
  Status finish();

 private:
  struct Job {
    std::vector<TileFile> files;
    std::string note;  // empty: full tiles only
    std::size_t bytes = 0;
  };
  static constexpr std::size_t kMuch = std::size_t{16} << 20;  // bytes in memory
  static constexpr int kRetryMs = 1000;
  static constexpr int kNice = 10;

  explicit Derived(Fd log_dir) : files_(std::move(log_dir)) {}
  void add(Job job);
  void work();
  Status write(Job& job);

  DerivedFiles files_;  // the thread's
  std::mutex mutex_;    // guards what follows
  std::condition_variable to_do_;
  std::condition_variable done_;
  std::deque<Job> jobs_;
  std::size_t bytes_ = 0;  // of all jobs
  Status failure_;         // of the last try
  bool stopping_ = false;
  bool hurry_ = false;         // the next try comes at once
  std::uint64_t tries_ = 0;
  std::thread thread_;
};

}  // namespace oqto::audit
