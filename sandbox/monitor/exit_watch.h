// How the programs of a session end: one record for each process that has executed something, as the
// outcome of its last exec. A descriptor of the process tells of the end, so nothing is slowed down
// and nothing of the process can prevent it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "ipc/loop.h"
#include "sandbox/monitor/recorder.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxExitWatches = 4096;  // as many processes as any profile has

class ExitWatch {
 public:
  ExitWatch(const Tracees& tracees, Recorder& recorder) : tracees_(tracees), recorder_(recorder) {}
  ~ExitWatch();
  ExitWatch(const ExitWatch&) = delete;
  ExitWatch& operator=(const ExitWatch&) = delete;
  void attach(ipc::Loop& loop) { loop_ = &loop; }  // which outlives this

  // `process` is stopped right after an exec. Returns where the exec's index is to be told; null if
  // its end will not be seen, which is counted.
  Submission::Index begin(pid_t process, Fd pidfd);

  // Records as many ends as there is room for.
  void tick(std::size_t reserved);
  // Looks once more at all that still run, and records what has ended: for the last moment.
  void flush();
  [[nodiscard]] bool waits() const { return !ended_.empty() || unseen_ != 0; }

 private:
  struct Watched final : ipc::Watcher {
    explicit Watched(ExitWatch& watch) : owner(watch) {}
    void on_ready(std::uint32_t) override { owner.on_end(process); }
    ExitWatch& owner;
    pid_t process = -1;
    Fd pidfd;
    Submission::Index index;
    std::uint64_t since = 0;
  };
  struct Ended {
    pid_t process = -1;
    Submission::Index index;
    std::uint64_t duration_ms = 0;
    std::optional<int> status;  // as waitpid tells it
  };
  void on_end(pid_t process);
  void record(const Ended& ended);
  [[nodiscard]] std::optional<int> status_of(const Watched& watched) const;

  const Tracees& tracees_;
  Recorder& recorder_;
  ipc::Loop* loop_ = nullptr;
  std::map<pid_t, std::unique_ptr<Watched>> running_;
  std::vector<std::unique_ptr<Watched>> gone_;  // one of them may be what calls us
  std::deque<Ended> ended_;
  std::uint64_t unseen_ = 0;
};

}  // namespace oqto::sandbox
