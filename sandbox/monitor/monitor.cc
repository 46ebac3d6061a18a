#include "sandbox/monitor/monitor.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstdio>

#include "base/sys.h"
#include "policies/session_syscalls.h"
#include "sandbox/monitor/filters.h"

namespace oqto::sandbox {
namespace {

constexpr int kTickMs = 250;
constexpr int kBatch = 16;  // notifications in a row, before the loop's other ends have their turn

bool is_exec(int call) {
  return call == SYS_execve || call == SYS_execveat;
}
bool is_open(int call) {
  return call == SYS_open || call == SYS_openat || call == SYS_creat;
}

std::string call_name(const seccomp_data& call) {
  const std::string_view name = syscall_name(static_cast<std::uint32_t>(call.nr));
  return name.empty() ? "syscall " + std::to_string(call.nr) : std::string(name);
}

policies::CallArguments arguments_of(const seccomp_data& call) {
  policies::CallArguments arguments{};
  std::ranges::copy(call.args, arguments.begin());
  return arguments;
}

std::string argument_list(const seccomp_data& call) {
  std::string list;
  for (const std::uint64_t argument : call.args) {
    char text[24];
    (void)std::snprintf(text, sizeof text, "\"0x%llx\"", static_cast<unsigned long long>(argument));
    list.append(list.empty() ? "[" : ",").append(text);
  }
  return list + ']';
}

}  // namespace

Monitor::Monitor(Recorder& recorder, MonitorParts parts)
    : recorder_(recorder),
      tracees_(std::move(parts.tracees)),
      listener_(std::move(parts.listener)),
      run_own_programs_(parts.run_own_programs),
      execs_(listener_, tracees_, recorder, parts.hash_programs, parts.exec_patience_ms) {
  if (parts.ask.empty()) return;
  opens_.emplace(listener_, tracees_, recorder, denials_, AskFiles(std::move(parts.ask)),
                 Approvals(parts.approver, parts.ask_timeout_s));
}

Monitor::~Monitor() {
  if (loop_ != nullptr && !finished_) loop_->unwatch(listener_.fd(), *this);
}

Status Monitor::attach(ipc::Loop& loop) {
  TRY(loop.watch(listener_.fd(), *this));
  loop_ = &loop;
  execs_.exits().attach(loop);
  return {};
}

void Monitor::on_ready(std::uint32_t) {
  for (int i = 0; i < kBatch && !paused_; ++i) {
    const Listener::State state = listener_.state();
    if (state == Listener::State::quiet) return;
    if (state == Listener::State::finished) {
      loop_->unwatch(listener_.fd(), *this);
      finished_ = true;
      return;
    }
    const auto notification = listener_.receive();
    if (!notification) return;
    dispatch(*notification);
    pause_or_resume();
  }
}

// The filter may have notified a call for its number or for its arguments. Registers, unlike
// memory, do not change while the caller waits.
void Monitor::dispatch(const seccomp_notif& notification) {
  const int call = notification.data.nr;
  if (is_exec(call)) {
    execs_.on_exec(notification);
    return;
  }
  if (is_open(call)) {
    const auto judged = policies::judge_syscall(syscall_name(static_cast<std::uint32_t>(call)),
                                                arguments_of(notification.data), run_own_programs_);
    if (judged.error == 0) {
      if (opens_) {
        opens_->on_open(notification);
      } else {
        listener_.go_on(notification.id);  // nothing is hidden
      }
      return;
    }
  }
  deny(notification);
}

void Monitor::deny(const seccomp_notif& notification) {
  const std::string name = call_name(notification.data);
  const auto judged =
      policies::judge_syscall(name, arguments_of(notification.data), run_own_programs_);
  const int error = judged.error != 0 ? judged.error : EPERM;
  const std::uint64_t now = sys::monotonic_ms();
  const auto task = static_cast<pid_t>(notification.pid);
  auto exe = tracees_.link(task, "exe");
  if (!listener_.is_waiting(notification.id)) return;
  Denial* const first = denials_.add({.process = task,
                                      .exe = exe ? std::move(*exe) : std::string(),
                                      .what = name,
                                      .rule = std::string_view(judged.rule),
                                      .reason = judged.reason,
                                      .arguments = argument_list(notification.data),
                                      .path = {}},
                                     now);
  // The number of the thread is at hand, that of its process is not.
  if (first != nullptr) {
    const auto numbers = tracees_.numbers(task);
    if (numbers && listener_.is_waiting(notification.id)) first->process = numbers->process;
  }
  if (pace_.holds() || !pace_.may_go(now)) {
    pace_.hold({notification.id, error});
  } else {
    listener_.refuse(notification.id, error);
  }
}

void Monitor::on_answer(std::uint64_t question, ipc::ApprovalChoice choice) {
  if (opens_) opens_->on_answer(question, choice);
}

void Monitor::tick() {
  const std::uint64_t now = sys::monotonic_ms();
  while (const auto held = pace_.release(now)) listener_.refuse(held->id, held->error);
  if (opens_) opens_->tick();
  execs_.tick(now);
  if (recorder_.available() && recorder_.has_room(execs_.in_flight())) execs_.note_refusals();
  execs_.exits().tick(execs_.in_flight() + 1);
  while (recorder_.available() && recorder_.has_room(execs_.in_flight() + 1)) {
    auto record = denials_.take(now);
    if (!record) break;
    recorder_.add(std::move(*record));
  }
  pause_or_resume();
}

void Monitor::flush() {
  execs_.exits().flush();
  while (recorder_.available() && recorder_.has_room(execs_.in_flight())) {
    auto record = denials_.take(~std::uint64_t{0} - kJoinMs);
    if (!record) break;
    recorder_.add(std::move(*record));
  }
}

int Monitor::timeout_ms() const {
  if (pace_.holds()) return static_cast<int>(kPaceMs);
  const bool waits = paused_ || execs_.waits() || denials_.waits() || (opens_ && opens_->waits());
  return waits ? kTickMs : -1;
}

// While as many records as are kept are not durable yet, everything further waits in the kernel.
void Monitor::pause_or_resume() {
  if (loop_ == nullptr || finished_) return;
  const bool pause = recorder_.available() && !recorder_.has_room(execs_.in_flight() + 1);
  if (pause == paused_) return;
  paused_ = pause;
  const std::uint32_t events = pause ? 0U : static_cast<std::uint32_t>(EPOLLIN);
  (void)loop_->rewatch(listener_.fd(), *this, events);
}

}  // namespace oqto::sandbox
