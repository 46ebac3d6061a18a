#include "sandbox/monitor/session_monitor.h"

#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "sandbox/monitor/socket_owner.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kStopMs = 2000;  // until all of the session must be gone
constexpr std::uint64_t kDrainMs = 1000;
constexpr int kTickMs = static_cast<int>(kSendAgainMs);

MonitorParts with_approver(MonitorParts parts, Approver& approver) {
  parts.approver = &approver;
  return parts;
}

}  // namespace

SessionMonitor::SessionMonitor(Parts parts, ipc::Loop loop)
    : parts_(std::move(parts)),
      loop_(std::move(loop)),
      log_(std::move(parts_.audit)),
      monitor_(log_, with_approver(std::move(parts_.monitor), *this)),
      refused_(log_, std::move(parts_.refused), parts_.stage),
      files_(log_, std::move(parts_.workspace), "/workspace") {}

Status SessionMonitor::run() {
  TRY(monitor_.attach(loop_));
  TRY(refused_.attach(loop_));
  if (const Status watched = files_.attach(loop_); !watched) {
    log::warn("the workspace's files are not watched", {{"why", watched.error().what}});
  }
  TRY(loop_.watch(parts_.guard.fd(), guard_watch_));
  TRY(loop_.watch(log_.fd(), audit_watch_));
  TRY(loop_.watch(parts_.signals, signal_watch_));
  TRY(loop_.watch(parts_.errors, errors_watch_));
  for (;;) {
    TRY(loop_.run_once(timeout_ms()));
    log_.tick();
    monitor_.tick();
    refused_.tick(sys::monotonic_ms());
    files_.tick(sys::monotonic_ms());
    if (stop_deadline_ == 0) continue;
    if (monitor_.finished() || sys::monotonic_ms() >= stop_deadline_) break;
  }
  monitor_.flush();
  refused_.flush();
  files_.flush();
  return drain();
}

// What ended with the session is recorded behind it: the last records wait for those they belong to.
Status SessionMonitor::drain() {
  const std::uint64_t until = sys::monotonic_ms() + kDrainMs;
  while (log_.waits() && log_.connected() && sys::monotonic_ms() < until) {
    TRY(loop_.run_once(kTickMs));
    log_.tick();
  }
  return {};
}

int SessionMonitor::timeout_ms() const {
  const bool ticks = stop_deadline_ != 0 || log_.waits() || refused_.waits();
  int least = -1;
  for (const int each : {monitor_.timeout_ms(), files_.timeout_ms(), ticks ? kTickMs : -1}) {
    if (each >= 0 && (least < 0 || each < least)) least = each;
  }
  return least;
}

void SessionMonitor::on_signal() {
  bool terminate = false;
  signalfd_siginfo record{};
  while (::read(parts_.signals.get(), &record, sizeof record) == sizeof record) {
    terminate = terminate || record.ssi_signo == SIGTERM || record.ssi_signo == SIGINT;
  }
  reap();
  if (terminate) stop("asked to stop");
}

void SessionMonitor::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
    if (pid <= 0) break;
    if (pid == parts_.stage && !WIFSTOPPED(status)) {
      stop("the sandbox has ended");
    } else {
      monitor_.on_child(pid, status);
    }
  }
  monitor_.after_children();
}

void SessionMonitor::on_guard() {
  for (;;) {
    auto received = parts_.guard.receive();
    if (!received && received.error().code == Errc::limit) return;
    if (received && on_guard_message(std::move(*received))) continue;
    loop_.unwatch(parts_.guard.fd(), guard_watch_);
    stop("the guard is gone");
    return;
  }
}

Status SessionMonitor::on_guard_message(ipc::Received received) {
  if (received.tag == ipc::Tag::approval_answer) {
    const auto answer = TRY(received.as<ipc::ApprovalAnswer>());
    if (answer.kind == ipc::ApprovalKind::file_read) {
      monitor_.on_answer(answer.question, answer.choice);
    }
    return {};
  }
  if (received.tag == ipc::Tag::approval_ask) {  // of the gateway, which cannot see who asks
    auto question = TRY(received.as<ipc::ApprovalAsk>());
    show_asker(question, parts_.stage);
    return parts_.guard.send(question);
  }
  const auto wire = TRY(received.as<ipc::Wire>());
  if (wire.role != ipc::WireRole::audit) return fail(Errc::bad_message, "not an audit channel");
  if (log_.fd()) loop_.unwatch(log_.fd(), audit_watch_);
  log_.replace(ipc::Channel(std::move(received.fd)));
  return loop_.watch(log_.fd(), audit_watch_);
}

Status SessionMonitor::ask(const ipc::ApprovalAsk& question) {
  ipc::ApprovalAsk ours = question;
  ours.session = parts_.session;
  return parts_.guard.send(ours);
}

void SessionMonitor::on_audit() {
  log_.on_ready();
  if (!log_.connected()) loop_.unwatch(log_.fd(), audit_watch_);
}

void SessionMonitor::on_errors() {
  char text[512];
  const ssize_t n = ::read(parts_.errors.get(), text, sizeof text);
  if (n > 0) {
    log::warn("the sandbox", {{"said", std::string_view(text, static_cast<std::size_t>(n))}});
  } else if (n == 0) {
    loop_.unwatch(parts_.errors, errors_watch_);
  }
}

void SessionMonitor::stop(std::string_view why) {
  if (stop_deadline_ != 0) return;
  log::info("the session ends", {{"why", why}});
  stop_deadline_ = sys::monotonic_ms() + kStopMs;
  monitor_.stop();
  (void)sys::pidfd_kill(parts_.init_fd, SIGKILL);
}

}  // namespace oqto::sandbox
