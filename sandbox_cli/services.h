// What serves a running sandbox from outside: the monitor that answers its stopped system calls,
// the record, and the way out.
#pragma once
#include <memory>

#include "sandbox/monitor/monitor.h"
#include "sandbox_cli/egress.h"
#include "sandbox_cli/learn_watch.h"
#include "sandbox_cli/record.h"
#include "sandbox_cli/setup.h"

namespace oqto::sandbox_cli {

class Services final : private sandbox::Approver {
 public:
  Services(const Options& options, const Setup& setup, ipc::Loop& loop, Prompter& prompter);
  ~Services() override = default;

  // Before anything is started: what cannot be had then is an error.
  Outcome<> open();
  // Whether the program can do nothing before start(), or must not.
  [[nodiscard]] bool must_be_first() const;
  // Takes the listener and the sockets out of `sandbox`.
  Outcome<> start(sandbox::StartedSandbox& sandbox);
  // For what waitpid(-1, …, __WALL) reports and is not the owner's child; after the last,
  // after_children().
  void on_child(pid_t pid, int status);
  void after_children();

  void tick();
  [[nodiscard]] int timeout_ms() const;  // -1: for ever
  void close();

  [[nodiscard]] const Record& record() const { return record_; }
  // One line of JSON for each thing that the network did; for learn.
  [[nodiscard]] std::string network_lines() const;
  [[nodiscard]] const Learned& learned() const { return learned_; }  // after close()

 private:
  Status ask(const ipc::ApprovalAsk& question) override;
  Outcome<std::vector<sandbox::AskPath>> ask_paths(const sandbox::StartedSandbox& sandbox) const;
  Outcome<> start_monitor(sandbox::StartedSandbox& sandbox);

  const Options& options_;
  const Setup& setup_;
  ipc::Loop& loop_;
  Prompter& prompter_;
  Record record_;
  Fd network_sink_;
  std::unique_ptr<sandbox::Monitor> monitor_;
  std::unique_ptr<LearnWatch> learner_;  // in its place
  Learned learned_;
  // The user may answer within ask(), of which the monitor does not know yet then.
  std::vector<std::pair<std::uint64_t, ipc::ApprovalChoice>> answers_;
  Egress egress_;
};

}  // namespace oqto::sandbox_cli
