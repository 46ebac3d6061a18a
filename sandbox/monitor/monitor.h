// The monitor of a session: it answers every system call that the session's filter stops. Execs are
// recorded and let go on (exec_watch.h), opens of hidden files are put to the user (open_watch.h),
// refused calls are refused and recorded (denials.h). Without a monitor such calls fail: they
// answer ENOSYS as soon as the listener's last descriptor is closed.
//
// It belongs to one thread, which must also be the one that waits for children. It attaches to a
// loop of its owner's:
//
//   Monitor monitor(recorder, {.listener = …, .tracees = …});
//   monitor.attach(loop);
//   … loop.run_once(monitor.timeout_ms()); monitor.tick(); after SIGCHLD monitor.on_child(…);
//   … until monitor.finished()
#pragma once
#include <sys/types.h>

#include <optional>

#include "ipc/loop.h"
#include "sandbox/monitor/denials.h"
#include "sandbox/monitor/exec_watch.h"
#include "sandbox/monitor/open_watch.h"

namespace oqto::sandbox {

struct MonitorParts {
  Fd listener;      // of ExecListener
  Tracees tracees;  // opened before sealing
  // As in the FilterKind that oqto-init loaded.
  bool run_own_programs = false;
  bool hash_programs = false;  // the SHA-256 of every program file that is executed
  std::uint64_t exec_patience_ms = kExecPatienceMs;
  // Sessions with hidden files that can be asked for (FilterKind::notify_open).
  std::vector<AskPath> ask = {};
  Approver* approver = nullptr;  // null: `prompt` paths are refused
  std::uint32_t ask_timeout_s = 60;
};

class Monitor final : private ipc::Watcher {
 public:
  // `recorder` and the approver outlive the monitor.
  Monitor(Recorder& recorder, MonitorParts parts);
  Monitor(const Monitor&) = delete;
  ~Monitor() override;

  Status attach(ipc::Loop& loop);  // which outlives the monitor

  // For every child that waitpid(-1, …, __WALL) reports and that is not the owner's own; then, when
  // there is no further one, after_children().
  void on_child(pid_t task, int status) { execs_.on_child(task, status); }
  void after_children() { execs_.consider_deferred(); }

  // After each turn of the loop, which waits at most timeout_ms() (-1: for ever).
  void tick();
  [[nodiscard]] int timeout_ms() const;

  void on_answer(std::uint64_t question, ipc::ApprovalChoice choice);

  // From now on nothing is executed.
  void stop() { execs_.stop(); }
  // No program of the session is left.
  [[nodiscard]] bool finished() const { return finished_; }
  // Writes what is still being joined: before the end.
  void flush();

 private:
  void on_ready(std::uint32_t events) override;
  void dispatch(const seccomp_notif& notification);
  void deny(const seccomp_notif& notification);
  void pause_or_resume();

  Recorder& recorder_;
  Tracees tracees_;
  Listener listener_;
  bool run_own_programs_;
  Denials denials_;
  Pace pace_;
  ExecWatch execs_;
  std::optional<OpenWatch> opens_;
  ipc::Loop* loop_ = nullptr;
  bool paused_ = false;
  bool finished_ = false;
};

}  // namespace oqto::sandbox
