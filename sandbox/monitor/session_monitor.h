// The life of oqto-launch once its session runs: the monitor, with the audit log as its recorder
// and the guard as the way to the session's user.
#pragma once
#include "sandbox/monitor/exec_log.h"
#include "sandbox/monitor/file_watch.h"
#include "sandbox/monitor/monitor.h"
#include "sandbox/monitor/refused_watch.h"

namespace oqto::sandbox {

class SessionMonitor final : private Approver {
 public:
  struct Parts {
    Uuid session;
    ipc::Channel guard;
    ipc::Channel audit;
    Fd signals;            // SIGTERM, SIGINT, SIGCHLD
    Fd errors;             // the stage's stderr
    Fd refused;            // shows connections that the session's network refuses
    Fd workspace;          // its directory, to see what changes in it; none: nothing is seen
    pid_t stage = -1;      // our child
    Fd init_fd;            // PID 1 of the session, a pidfd
    MonitorParts monitor;  // without an approver
  };
  SessionMonitor(Parts parts, ipc::Loop loop);

  // Until the sandbox has ended, the guard is gone, or SIGTERM; then until nothing inside is left.
  Status run();

 private:
  template <void (SessionMonitor::*Handler)()>
  struct Watch final : ipc::Watcher {
    explicit Watch(SessionMonitor& owner) : monitor(owner) {}
    void on_ready(std::uint32_t) override { (monitor.*Handler)(); }
    SessionMonitor& monitor;
  };

  Status ask(const ipc::ApprovalAsk& question) override;
  void on_guard();
  Status on_guard_message(ipc::Received received);
  void on_audit();
  void on_signal();
  void on_errors();
  void reap();
  void stop(std::string_view why);
  Status drain();
  [[nodiscard]] int timeout_ms() const;

  Parts parts_;
  ipc::Loop loop_;
  ExecLog log_;
  Monitor monitor_;
  RefusedWatch refused_;
  FileWatch files_;
  std::uint64_t stop_deadline_ = 0;  // monotonic; 0: running

  Watch<&SessionMonitor::on_guard> guard_watch_{*this};
  Watch<&SessionMonitor::on_audit> audit_watch_{*this};
  Watch<&SessionMonitor::on_signal> signal_watch_{*this};
  Watch<&SessionMonitor::on_errors> errors_watch_{*this};
};

}  // namespace oqto::sandbox
