// Lifecycle: closing, falling asleep, and what follows when something has ended.
#include <algorithm>

#include "base/log.h"
#include "base/sys.h"
#include "runner/session.h"

namespace oqto::runner {

using protocol::Code;
namespace events = protocol::events;

void Session::close(std::string_view reason, bool for_good, Reply reply) {
  if (for_good && !record_.closed) {
    record_.closed = true;
    if (!host_.save_registry()) log::warn("the registry was not written");
  }
  closed_meanwhile_ = starting_;
  if (!pi_ || closing_) {
    if (for_good) sleeping_ = false;
    if (state_ == State::failed || state_ == State::asleep) set_state(State::stopped);
    return when_sandbox_gone([reply](bool) { reply(""); });
  }
  closing_ = true;
  sleeping_ = !for_good;
  stop_reason_ = for_good ? ipc::StopReason::user : ipc::StopReason::shut_down;
  resolve_inputs(true);
  pi_->close_input();
  deadline_ = host_.reactor().after(kCloseTimeoutMs, [this] { on_ended("it was stopped"); });
  when_sandbox_gone([this, reply, why = std::string(reason)](bool) {
    emit(events::session_closed(why));
    reply("");
  });
}

void Session::sleep(ipc::StopReason reason, std::function<void(bool)> done) {
  if (state() != State::idle || !pi_ || closing_) return done(false);
  has_background_work([this, reason, done, alive = alive_](bool works) {
    if (!*alive || works || state() != State::idle || !pi_ || closing_) return done(false);
    closing_ = sleeping_ = true;
    stop_reason_ = reason;
    pi_->close_input();
    deadline_ = host_.reactor().after(kCloseTimeoutMs, [this] { on_ended("it was put to sleep"); });
    when_sandbox_gone([this, done, alive](bool gone) {
      if (*alive && gone && state_ == State::asleep) emit(events::session_asleep());
      done(gone);
    });
  });
}

void Session::arm_sleep() {
  sleep_timer_ = host_.reactor().after(host_.sleep_after_ms(), [this] {
    if (!subscribers_.empty() || state_ != State::idle) return;
    sleep(ipc::StopReason::idle, [this, alive = alive_](bool asleep) {
      if (*alive && !asleep && state_ == State::idle) arm_sleep();
    });
  });
}

// Whatever runs in the sandbox beside its init, Pi, and who looks.
void Session::has_background_work(std::function<void(bool)> done) {
  if (!sandbox_) return done(false);
  const std::uint32_t pi = pi_ ? pi_->pid() : 0;
  auto look = std::make_unique<InsideProgram>(
      host_.reactor(), *sandbox_, pi::list_processes(), InsideProgram::Bounds{},
      [done, pi](const Result<InsideProgram::Said>& said) {
        if (!said) return done(true);  // not known: then it is left alone
        std::size_t others = 0;
        for (std::string_view rest = said->output; !rest.empty();) {
          const std::string_view name = rest.substr(0, rest.find('\n'));
          rest.remove_prefix(std::min(rest.size(), name.size() + 1));
          const bool process = !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
          const bool known = name == "1" || name == std::to_string(pi) || name == std::to_string(said->pid);
          if (process && !known) ++others;
        }
        done(others > 0);
      });
  std::erase_if(inside_, [](const auto& program) { return program->done(); });
  inside_.push_back(std::move(look));
}

// Pi has ended, by itself or because we gave it up; the sandbox goes with it.
void Session::on_ended(std::string why) {
  if (!pi_) return;
  deadline_.cancel();
  abort_deadline_.cancel();
  sleep_timer_.cancel();
  host_.reactor().dispose(std::move(pi_));
  const bool was_working = turn_open_ || state_ == State::starting;
  const bool told = (turn_open_ && deliveries_ > 0) || translator_.running();
  const std::string reason =
      closing_ ? "the session was closed before the agent was done" : "the agent ended unexpectedly: " + why;
  if (!translator_.abandon(reason) && told && ready_) add_marker(reason);
  resolve_inputs(true);
  turn_open_ = settled_ = ready_ = false;
  if (queued_) add_marker(reason);
  queued_.reset();
  if (queue_.return_all(closing_ ? "the session was closed" : "the agent ended")) queue_changed();
  fail_requests();
  for (const Reply& task : std::exchange(when_ready_, {})) task(no(Code::unavailable, reason));
  if (closing_) {
    set_state(sleeping_ ? State::asleep : State::stopped);
    if (outbox_.empty()) journal_.end_turn();
    answer_aborts("");
  } else {
    log::warn("the harness ended", {{"session", record_.id}, {"why", why.substr(0, 512)}});
    unfinished_ = true;
    set_state(State::failed);
    if (was_working) emit(events::error(reason, false));
    emit(events::session_closed(reason));
    answer_aborts(no(Code::unavailable, reason));
  }
  end_sandbox();
}

void Session::end_sandbox() {
  host_.guard().stop_session(session_uuid(record_.id), closing_ ? stop_reason_ : ipc::StopReason::failed);
  sandbox_deadline_ = host_.reactor().after(kSandboxTimeoutMs, [this] {
    log::error("the guard did not report the end of a sandbox", {{"session", record_.id}});
    for (const auto& task : std::exchange(after_sandbox_, {})) task(false);
  });
}

void Session::when_sandbox_gone(std::function<void(bool)> task) {
  if (!sandbox_alive_) return task(true);
  after_sandbox_.push_back(std::move(task));
}

void Session::on_sandbox_ended(std::string_view why) {
  if (!sandbox_alive_) return;
  sandbox_alive_ = false;
  policy_.clear();
  sandbox_deadline_.cancel();
  on_ended(why.empty() ? "its sandbox ended" : std::string(why));
  sandbox_deadline_.cancel();
  inside_.clear();
  host_.reactor().dispose(std::move(sandbox_));
  for (const auto& task : std::exchange(after_sandbox_, {})) task(true);
}

}  // namespace oqto::runner
