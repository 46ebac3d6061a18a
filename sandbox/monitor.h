// The exec monitor: the life of oqto-launch once the session runs. Every execve and execveat inside
// stops in the kernel until we answer. We note what the caller asks for, attach to it, let it go
// on, and see it once more, stopped, right after the exec: what it then is, no thread of its own
// can have changed. That goes to the audit log before its first instruction.
#pragma once
#include <linux/seccomp.h>

#include <deque>
#include <map>

#include "ipc/loop.h"
#include "sandbox/exec_log.h"
#include "sandbox/tracee.h"

namespace oqto::sandbox {

class Monitor {
 public:
  struct Parts {
    ipc::Channel guard;
    ipc::Channel audit;
    Fd listener;       // seccomp notifications
    Fd signals;        // SIGTERM, SIGCHLD
    Fd errors;         // bubblewrap's stderr
    pid_t bubblewrap;  // our child
    Fd bubblewrap_fd;
  };
  Monitor(Parts parts, Tracees tracees, ipc::Loop loop);

  // Until bubblewrap has ended, the guard is gone, or SIGTERM; then until nothing inside is left.
  Status run();

 private:
  struct Exec {
    std::uint64_t id;  // of the notification
    pid_t task;
    ExecRequest request;
  };
  template <void (Monitor::*Handler)()>
  struct Watch final : ipc::Watcher {
    explicit Watch(Monitor& owner) : monitor(owner) {}
    void on_ready(std::uint32_t) override { (monitor.*Handler)(); }
    Monitor& monitor;
  };

  void on_notification();
  void on_guard();
  void on_audit();
  void on_signal();
  void on_errors();

  void consider(Exec exec);
  void release(Exec exec);
  void refuse(const Exec& exec, int error, std::string_view reason);
  void on_stop(pid_t task, int status);
  void on_new_image(pid_t process);
  void on_failed(pid_t task, Exec exec);
  void consider_deferred();
  void note_refusals();
  void pause_or_resume();
  void tick();
  void stop(std::string_view why);
  [[nodiscard]] bool answer(std::uint64_t id, int error);  // 0: go on
  [[nodiscard]] bool is_waiting(std::uint64_t id) const;
  [[nodiscard]] bool in_flight(pid_t process) const;

  Parts parts_;
  Tracees tracees_;
  ipc::Loop loop_;
  ExecLog log_;
  std::map<pid_t, Exec> in_flight_;  // attached and released, by task
  std::deque<Exec> deferred_;        // another exec of the same process is in flight
  std::uint64_t refused_ = 0;        // while the log was unavailable, not recorded yet
  bool paused_ = false;
  bool listening_ = true;
  std::uint64_t stop_deadline_ = 0;  // monotonic; 0: running

  Watch<&Monitor::on_notification> notification_watch_{*this};
  Watch<&Monitor::on_guard> guard_watch_{*this};
  Watch<&Monitor::on_audit> audit_watch_{*this};
  Watch<&Monitor::on_signal> signal_watch_{*this};
  Watch<&Monitor::on_errors> errors_watch_{*this};
};

}  // namespace oqto::sandbox
