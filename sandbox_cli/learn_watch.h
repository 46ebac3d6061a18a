// Answers the stopped system calls of a sandbox as the monitor does, and notes which files were
// wanted. It is for learning alone: execs are let go on without the second look that a record
// needs.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "ipc/loop.h"
#include "sandbox/monitor/listener.h"
#include "sandbox/monitor/tracee.h"

namespace oqto::sandbox_cli {

constexpr std::size_t kMaxLearned = 20'000;  // of each kind

struct Learned {
  std::map<std::string, bool> files;           // path inside: whether it was opened for writing
  std::map<std::string, std::uint64_t> calls;  // refused: name, how often
};

class LearnWatch final : public ipc::Watcher {
 public:
  LearnWatch(Fd listener, sandbox::Tracees tracees, bool run_own_programs)
      : listener_(std::move(listener)),
        tracees_(std::move(tracees)),
        run_own_programs_(run_own_programs) {}
  ~LearnWatch() override;
  LearnWatch(const LearnWatch&) = delete;
  LearnWatch& operator=(const LearnWatch&) = delete;

  Status attach(ipc::Loop& loop);
  void on_ready(std::uint32_t events) override;
  [[nodiscard]] const Learned& learned() const { return learned_; }

 private:
  void answer(const seccomp_notif& notification);
  void note_open(const seccomp_notif& notification);

  sandbox::Listener listener_;
  sandbox::Tracees tracees_;
  bool run_own_programs_;
  ipc::Loop* loop_ = nullptr;
  Learned learned_;
};

}  // namespace oqto::sandbox_cli
