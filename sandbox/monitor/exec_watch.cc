#include "sandbox/monitor/exec_watch.h"

#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/monitor/exec_record.h"
#include "sandbox/monitor/process_info.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxDeferred = 1024;
constexpr std::uint64_t kAgainMs = 100;      // until what is held back is tried again
constexpr std::uint64_t kForgetMs = 10'000;  // that it was

using ipc::FieldKey;

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

// ERESTARTSYS and its like, which no program sees.
bool will_begin_anew(int error) { return error >= 512 && error <= 516 && error != 515; }

}  // namespace

void ExecWatch::on_exec(const seccomp_notif& notification) {
  const auto task = static_cast<pid_t>(notification.pid);
  auto request = tracees_.request(task, notification.data);
  Exec exec{.id = notification.id, .task = task, .request = request ? std::move(*request) : ExecRequest{}};
  // Only now is it certain that the memory was that of the caller, not of a successor to its pid.
  if (!listener_.is_waiting(exec.id)) return;
  if (!request) {
    exec.request.process = task;
    refuse(exec, EACCES, request.error().what);
    return;
  }
  consider(std::move(exec), notification);
}

void ExecWatch::consider(Exec exec, const seccomp_notif& notification) {
  if (!recorder_.available() || stopped_) {
    ++refused_;
    listener_.refuse(exec.id, EPERM);
    return;
  }
  const auto held = held_back_.find(exec.task);
  if (held != held_back_.end() && sys::monotonic_ms() >= held->second.since + patience_ms_) {
    held_back_.erase(held);
    refuse(exec, EAGAIN, "the kernel held it back for " + std::to_string(patience_ms_ / 1000) + " s: is there a lease on the file?");
    return;
  }
  // One at a time per process: attaching to a thread waits for its process's exec to finish, and
  // that exec waits for us to reap the threads that we are attached to.
  if (must_wait(exec.task, exec.request.process)) {
    if (deferred_.size() >= kMaxDeferred) {
      refuse(exec, EAGAIN, "too many threads of one process execute at once");
      return;
    }
    deferred_.push_back({notification, exec.request.process});
    return;
  }
  release(std::move(exec));
}

void ExecWatch::release(Exec exec) {
  // What is stopped by us when we end must not go on by that.
  if (trace(PTRACE_SEIZE, exec.task, PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) != 0) {
    if (listener_.is_waiting(exec.id))
      refuse(exec, EACCES, "the calling process cannot be watched");
    return;
  }
  // Exactly one stop follows: after the exec, or, if it fails, when the call returns.
  (void)trace(PTRACE_INTERRUPT, exec.task);
  const std::uint64_t id = exec.id;
  exec.since = sys::monotonic_ms();
  in_flight_.insert_or_assign(exec.task, std::move(exec));
  listener_.go_on(id);  // if it is gone, its end is reported to us as that of a traced task
}

void ExecWatch::refuse(const Exec& exec, int error, std::string_view reason) {
  listener_.refuse(exec.id, error);
  if (!recorder_.available() || !recorder_.has_room(in_flight_.size())) {
    ++refused_;
    return;
  }
  auto record = record_of(exec.request, ipc::Outcome::failure);
  record.add(FieldKey::reason, reason);
  recorder_.add(std::move(record));
}

bool ExecWatch::in_flight(pid_t process) const {
  return std::ranges::any_of(
      in_flight_, [process](const auto& entry) { return entry.second.request.process == process; });
}

void ExecWatch::consider_deferred() {
  for (std::size_t left = deferred_.size(); left > 0; --left) {
    const Deferred next = deferred_.front();
    deferred_.pop_front();
    if (!listener_.is_waiting(next.notification.id)) continue;
    if (must_wait(static_cast<pid_t>(next.notification.pid), next.process)) {
      deferred_.push_back(next);
    } else {
      on_exec(next.notification);
    }
  }
}

bool ExecWatch::must_wait(pid_t task, pid_t process) const {
  const auto held = held_back_.find(task);
  return in_flight(process) || (held != held_back_.end() && sys::monotonic_ms() < held->second.again_at);
}

void ExecWatch::tick(std::uint64_t now) {
  kill_overdue(now);
  read_images();
  consider_deferred();
  std::erase_if(held_back_, [now](const auto& each) { return now >= each.second.again_at + kForgetMs; });
}

// Where the kernel waits without letting itself be interrupted, as for a file system that does not answer. Its
// place is free when its end is reported.
void ExecWatch::kill_overdue(std::uint64_t now) {
  for (auto& [task, exec] : in_flight_) {
    if (exec.killed || now < exec.since + patience_ms_) continue;
    exec.killed = true;
    (void)::kill(exec.request.process, SIGKILL);
    auto record = record_of(exec.request, ipc::Outcome::failure);
    record.add(FieldKey::reason, "killed: the exec did not end within " + std::to_string(patience_ms_ / 1000) + " s");
    recorder_.add(std::move(record));
  }
}

// --- after the exec ----------------------------------------------------------------------------

void ExecWatch::on_child(pid_t task, int status) {
  if (WIFSTOPPED(status)) {
    on_stop(task, status);
  } else {
    in_flight_.erase(task);
    held_.erase(task);
    read_images();
  }
}

void ExecWatch::on_stop(pid_t task, int status) {
  const int event = status >> 16;
  if (event == PTRACE_EVENT_EXEC) {
    on_new_image(task);
    if (!held_.contains(task)) (void)trace(PTRACE_DETACH, task);
    return;
  }
  const auto found = in_flight_.find(task);
  if (found != in_flight_.end()) {
    const Exec exec = std::move(found->second);
    in_flight_.erase(found);
    if (!exec.killed) on_failed(task, exec);
  }
  const int signal = event == 0 ? WSTOPSIG(status) : 0;  // one that was about to be delivered
  (void)trace(PTRACE_DETACH, task, static_cast<unsigned long>(signal));
}

void ExecWatch::on_new_image(pid_t process) {
  // A thread that executes becomes its process's only thread, under the process's number.
  unsigned long former = 0;
  (void)::ptrace(PTRACE_GETEVENTMSG, process, nullptr, &former);
  const auto found = in_flight_.find(static_cast<pid_t>(former));
  if (found == in_flight_.end()) return;
  const bool killed = found->second.killed;  // and recorded
  const ExecRequest request = std::move(found->second.request);
  held_back_.erase(found->first);
  in_flight_.erase(found);
  in_flight_.erase(process);
  if (killed) return;
  if (unread_.empty() && (recorder_.has_room(0) || !recorder_.available())) return take_image(process, request);
  held_.insert(process);
  unread_.push_back({process, request});
}

// In their order, as there is room: a session can execute more at once than the monitor may keep.
void ExecWatch::read_images() {
  while (!unread_.empty() && (recorder_.has_room(0) || !recorder_.available())) {
    const Unread next = std::move(unread_.front());
    unread_.pop_front();
    if (held_.erase(next.process) != 0) {
      take_image(next.process, next.request);
      if (!held_.contains(next.process)) (void)trace(PTRACE_DETACH, next.process);
      continue;
    }
    auto record = record_of(next.request, ipc::Outcome::failure);
    record.add(FieldKey::reason, "killed before it ran");
    recorder_.add(std::move(record));
  }
}

void ExecWatch::take_image(pid_t process, const ExecRequest& request) {
  const auto image = tracees_.loaded(process);
  if (image && recorder_.available()) return submit_image(process, request, *image);
  // It has not run one instruction yet, and will not.
  (void)::kill(process, SIGKILL);
  auto record = record_of(request, ipc::Outcome::failure);
  record.add(FieldKey::reason, image ? "killed: the audit log is unavailable"
                                     : "killed: the program cannot be read");
  recorder_.add(std::move(record));
}

// Held until the recorder says that nothing of it can be lost: at once, if it has no blobs.
void ExecWatch::submit_image(pid_t process, const ExecRequest& request, const Image& image) {
  Submission made = submission_of(request, image, ipc::Outcome::success);
  Fd pidfd = sys::pidfd_open(process).value_or(Fd());
  made.record.add(FieldKey::ppid, std::to_string(parent_of(tracees_, pidfd, process)));
  if (hash_programs_) hashes_.add_to(made.record, tracees_, process);
  made.index = exits_.begin(process, std::move(pidfd));
  if (!made.blobs.empty()) {
    held_.insert(process);
    made.settle = [this, process](ipc::AuditAppend& record, bool stored) {
      go_on(process, record, stored);
    };
  }
  recorder_.submit(std::move(made));
}

void ExecWatch::go_on(pid_t process, ipc::AuditAppend& record, bool stored) {
  const bool is_there = held_.erase(process) != 0;
  if (!stored || !is_there || stopped_) {
    if (is_there) (void)::kill(process, SIGKILL);
    record.outcome = ipc::Outcome::failure;
    record.add(FieldKey::reason, !is_there  ? "killed before it ran"
                                 : stopped_ ? "killed: the session ends"
                                            : "killed: its arguments are too long for a record, and cannot be stored");
  }
  if (is_there) (void)trace(PTRACE_DETACH, process);
}

void ExecWatch::on_failed(pid_t task, const Exec& exec) {
  const int error = pending_errno(task);
  if (will_begin_anew(error)) {
    const std::uint64_t now = sys::monotonic_ms();
    const auto [held, is_first] = held_back_.try_emplace(task, HeldBack{now, 0});
    held->second.again_at = now + kAgainMs;
    if (!is_first) return;  // recorded already
  } else {
    held_back_.erase(task);
  }
  // The search through PATH is not worth a record each.
  if (error == ENOENT || error == ENOTDIR) return;
  auto record = record_of(exec.request, ipc::Outcome::failure);
  if (const auto numbers = tracees_.numbers(task)) {
    record.add(FieldKey::ppid, std::to_string(numbers->parent));
  }
  const char* name = ::strerrorname_np(error);
  record.add(FieldKey::reason, error != 0 && name != nullptr ? name : "interrupted");
  recorder_.add(std::move(record));
}

void ExecWatch::note_refusals() {
  if (refused_ == 0 || !recorder_.available() || !recorder_.has_room(in_flight_.size())) return;
  ipc::AuditAppend record;
  record.event = ipc::Event::exec;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::failure;
  record.add(FieldKey::reason,
             std::to_string(refused_) + " execs were refused while they could not be recorded");
  record.add(FieldKey::count, std::to_string(refused_));
  refused_ = 0;
  recorder_.add(std::move(record));
}

}  // namespace oqto::sandbox
