// One job at a time beside the loop: while a batch is on its way to the disk, the next one comes in.
#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

class CommitThread {
 public:
  // Call after sealing: the thread is sealed too.
  static Result<std::unique_ptr<CommitThread>> start();
  ~CommitThread();  // waits for the job
  CommitThread(const CommitThread&) = delete;
  CommitThread& operator=(const CommitThread&) = delete;

  // The one before must have been waited for.
  void run(std::function<void()> job);
  void wait();  // until the job is done
  [[nodiscard]] bool is_done();
  [[nodiscard]] const Fd& done() const { return done_; }  // readable from then until wait()

 private:
  explicit CommitThread(Fd done) : done_(std::move(done)) {}
  void work();

  const Fd done_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::function<void()> job_;
  bool is_done_ = true;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace oqto::audit
