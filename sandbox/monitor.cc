#include "sandbox/monitor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxDeferred = 1024;
constexpr std::uint64_t kStopMs = 2000;  // until all of the session must be gone
constexpr int kTickMs = static_cast<int>(kSendAgainMs);

using ipc::FieldKey;

ipc::AuditAppend new_record(ipc::Outcome outcome) {
  ipc::AuditAppend record;
  record.event = ipc::Event::exec;
  record.phase = ipc::Phase::event;
  record.outcome = outcome;
  return record;
}

ipc::AuditAppend record_of(const ExecRequest& request, ipc::Outcome outcome) {
  ipc::AuditAppend record = new_record(outcome);
  record.add(FieldKey::pid, std::to_string(request.process));
  for (const std::string& argument : request.argv) record.add(FieldKey::argv, argument);
  return record;
}

long trace(__ptrace_request request, pid_t task, unsigned long data = 0) {
  return ::ptrace(request, task, nullptr, reinterpret_cast<void*>(data));  // NOLINT: a number
}

// The errno that the system call is about to return in a task that is stopped on its way out.
int pending_errno(pid_t task) {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, task, nullptr, &registers) != 0) return 0;
  const auto result = static_cast<long long>(registers.rax);
  return result < 0 && result > -4096 ? static_cast<int>(-result) : 0;
}

}  // namespace

Monitor::Monitor(Parts parts, Tracees tracees, ipc::Loop loop)
    : parts_(std::move(parts)),
      tracees_(std::move(tracees)),
      loop_(std::move(loop)),
      log_(std::move(parts_.audit)) {}

Status Monitor::run() {
  TRY(loop_.watch(parts_.listener, notification_watch_));
  TRY(loop_.watch(parts_.guard.fd(), guard_watch_));
  TRY(loop_.watch(log_.fd(), audit_watch_));
  TRY(loop_.watch(parts_.signals, signal_watch_));
  TRY(loop_.watch(parts_.errors, errors_watch_));
  for (;;) {
    const bool waits = stop_deadline_ != 0 || paused_ || log_.waits() || refused_ != 0;
    TRY(loop_.run_once(waits ? kTickMs : -1));
    tick();
    if (stop_deadline_ == 0) continue;
    if (!listening_ || sys::monotonic_ms() >= stop_deadline_) return {};
  }
}

void Monitor::tick() {
  log_.tick();
  note_refusals();
  pause_or_resume();
}

// --- notifications -----------------------------------------------------------------------------

void Monitor::on_notification() {
  pollfd state{parts_.listener.get(), POLLIN, 0};
  if (::poll(&state, 1, 0) <= 0) return;
  if ((state.revents & POLLIN) == 0) {  // hung up: no task with our filter is left
    loop_.unwatch(parts_.listener, notification_watch_);
    listening_ = false;
    return;
  }
  if (paused_) return;
  seccomp_notif notification{};
  if (::ioctl(parts_.listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification) != 0) return;
  const auto task = static_cast<pid_t>(notification.pid);
  auto request = tracees_.request(task, notification.data);
  Exec exec{notification.id, task, request ? std::move(*request) : ExecRequest{}};
  // Only now is it certain that the memory was that of the caller, not of a successor to its pid.
  if (!is_waiting(exec.id)) return;
  if (!request) {
    exec.request.process = task;
    refuse(exec, EACCES, request.error().what);
    return;
  }
  consider(std::move(exec));
  pause_or_resume();
}

void Monitor::consider(Exec exec) {
  if (!log_.available() || stop_deadline_ != 0) {
    ++refused_;
    (void)answer(exec.id, EPERM);
    return;
  }
  // One at a time per process: attaching to a thread waits for its process's exec to finish, and
  // that exec waits for us to reap the threads that we are attached to.
  if (in_flight(exec.request.process)) {
    if (deferred_.size() >= kMaxDeferred) {
      refuse(exec, EAGAIN, "too many threads of one process execute at once");
      return;
    }
    deferred_.push_back(std::move(exec));
    return;
  }
  release(std::move(exec));
}

void Monitor::release(Exec exec) {
  if (trace(PTRACE_SEIZE, exec.task, PTRACE_O_TRACEEXEC) != 0) {
    if (is_waiting(exec.id)) refuse(exec, EACCES, "the calling process cannot be watched");
    return;
  }
  // Exactly one stop follows: after the exec, or, if it fails, when the call returns.
  (void)trace(PTRACE_INTERRUPT, exec.task);
  const std::uint64_t id = exec.id;
  in_flight_.insert_or_assign(exec.task, std::move(exec));
  (void)answer(id, 0);  // if it is gone, its end is reported to us as that of a traced task
}

void Monitor::refuse(const Exec& exec, int error, std::string_view reason) {
  (void)answer(exec.id, error);
  if (!log_.available() || !log_.has_room(in_flight_.size())) {
    ++refused_;
    return;
  }
  auto record = record_of(exec.request, ipc::Outcome::failure);
  record.add(FieldKey::exe, exec.request.path);
  record.add(FieldKey::cwd, exec.request.cwd);
  record.add(FieldKey::reason, reason);
  log_.add(std::move(record));
}

bool Monitor::answer(std::uint64_t id, int error) {
  seccomp_notif_resp response{};
  response.id = id;
  response.error = -error;
  response.flags = error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  return ::ioctl(parts_.listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Monitor::is_waiting(std::uint64_t id) const {
  return ::ioctl(parts_.listener.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

bool Monitor::in_flight(pid_t process) const {
  return std::ranges::any_of(
      in_flight_, [process](const auto& entry) { return entry.second.request.process == process; });
}

void Monitor::consider_deferred() {
  for (std::size_t left = deferred_.size(); left > 0; --left) {
    Exec exec = std::move(deferred_.front());
    deferred_.pop_front();
    if (is_waiting(exec.id)) consider(std::move(exec));
  }
}

// --- after the exec ----------------------------------------------------------------------------

void Monitor::on_stop(pid_t task, int status) {
  const int event = status >> 16;
  if (event == PTRACE_EVENT_EXEC) {
    on_new_image(task);
    (void)trace(PTRACE_DETACH, task);
    return;
  }
  const auto found = in_flight_.find(task);
  if (found != in_flight_.end()) {
    Exec exec = std::move(found->second);
    in_flight_.erase(found);
    on_failed(task, std::move(exec));
  }
  const int signal = event == 0 ? WSTOPSIG(status) : 0;  // one that was about to be delivered
  (void)trace(PTRACE_DETACH, task, static_cast<unsigned long>(signal));
}

void Monitor::on_new_image(pid_t process) {
  // A thread that executes becomes its process's only thread, under the process's number.
  unsigned long former = 0;
  (void)::ptrace(PTRACE_GETEVENTMSG, process, nullptr, &former);
  const auto found = in_flight_.find(static_cast<pid_t>(former));
  if (found == in_flight_.end()) return;
  const ExecRequest request = std::move(found->second.request);
  in_flight_.erase(found);
  in_flight_.erase(process);

  const auto image = tracees_.image(process);
  const bool allowed = image && log_.available();
  auto record = record_of(request, allowed ? ipc::Outcome::success : ipc::Outcome::failure);
  record.add(FieldKey::exe, image ? image->exe : request.path);
  record.add(FieldKey::cwd, image ? image->cwd : request.cwd);
  if (image && !same_arguments(request, *image)) {
    for (const std::string& argument : image->argv) record.add(FieldKey::argv_after, argument);
  }
  if (request.truncated || (image && image->truncated)) record.add(FieldKey::truncated, "true");
  if (!allowed) {
    // It has not run one instruction yet, and will not.
    (void)::kill(process, SIGKILL);
    record.add(FieldKey::reason, image ? "killed: the audit log is unavailable"
                                       : "killed: the program cannot be read");
  }
  log_.add(std::move(record));
}

void Monitor::on_failed(pid_t task, Exec exec) {
  const int error = pending_errno(task);
  // The search through PATH is not worth a record each.
  if (error == ENOENT || error == ENOTDIR) return;
  auto record = record_of(exec.request, ipc::Outcome::failure);
  record.add(FieldKey::exe, exec.request.path);
  record.add(FieldKey::cwd, exec.request.cwd);
  const char* name = ::strerrorname_np(error);
  record.add(FieldKey::reason, error != 0 && name != nullptr ? name : "interrupted");
  log_.add(std::move(record));
}

// --- the loop's other ends ---------------------------------------------------------------------

void Monitor::on_signal() {
  char records[2048];
  bool terminate = false;
  ssize_t n;
  while ((n = ::read(parts_.signals.get(), records, sizeof records)) > 0) {
    for (std::size_t at = 0; at + 128 <= static_cast<std::size_t>(n); at += 128) {
      std::uint32_t number = 0;  // signalfd_siginfo begins with it and is 128 bytes long
      ::memcpy(&number, records + at, sizeof number);
      terminate = terminate || number == SIGTERM || number == SIGINT;
    }
  }
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
    if (pid <= 0) break;
    if (WIFSTOPPED(status)) {
      on_stop(pid, status);
    } else {
      in_flight_.erase(pid);
      if (pid == parts_.bubblewrap) stop("the sandbox has ended");
    }
  }
  consider_deferred();
  if (terminate) stop("asked to stop");
}

void Monitor::on_guard() {
  for (;;) {
    auto received = parts_.guard.receive();
    if (!received && received.error().code == Errc::limit) return;
    const auto wire = received ? received->as<ipc::Wire>() : std::unexpected(received.error());
    if (!wire || wire->role != ipc::WireRole::audit) {
      loop_.unwatch(parts_.guard.fd(), guard_watch_);
      stop("the guard is gone");
      return;
    }
    if (log_.fd()) loop_.unwatch(log_.fd(), audit_watch_);
    log_.replace(ipc::Channel(std::move(received->fd)));
    if (!loop_.watch(log_.fd(), audit_watch_)) stop("the audit channel cannot be watched");
  }
}

void Monitor::on_audit() {
  log_.on_ready();
  if (!log_.connected()) loop_.unwatch(log_.fd(), audit_watch_);
}

void Monitor::on_errors() {
  char text[512];
  const ssize_t n = ::read(parts_.errors.get(), text, sizeof text);
  if (n > 0) {
    log::warn("bubblewrap", {{"said", std::string_view(text, static_cast<std::size_t>(n))}});
  } else if (n == 0) {
    loop_.unwatch(parts_.errors, errors_watch_);
  }
}

void Monitor::note_refusals() {
  if (refused_ == 0 || !log_.available() || !log_.has_room(in_flight_.size())) return;
  auto record = new_record(ipc::Outcome::failure);
  record.add(FieldKey::reason,
             std::to_string(refused_) + " execs were refused while they could not be recorded");
  refused_ = 0;
  log_.add(std::move(record));
}

// While as many records as we keep are not durable yet, further execs wait in the kernel.
void Monitor::pause_or_resume() {
  const bool pause = log_.available() && !log_.has_room(in_flight_.size() + 1);
  if (pause == paused_ || !listening_) return;
  paused_ = pause;
  const std::uint32_t events = pause ? 0U : static_cast<std::uint32_t>(EPOLLIN);
  (void)loop_.rewatch(parts_.listener, notification_watch_, events);
}

void Monitor::stop(std::string_view why) {
  if (stop_deadline_ != 0) return;
  log::info("the session ends", {{"why", why}});
  stop_deadline_ = sys::monotonic_ms() + kStopMs;
  (void)sys::pidfd_kill(parts_.bubblewrap_fd, SIGKILL);
}

}  // namespace oqto::sandbox
