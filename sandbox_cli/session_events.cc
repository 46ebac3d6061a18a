// What a running sandbox and its user's signals bring, one event at a time.
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "sandbox_cli/services.h"
#include "sandbox_cli/session.h"

namespace oqto::sandbox_cli {

void Session::on_control() {
  for (;;) {
    auto received = sandbox_.control.receive();
    if (!received && received.error().code == Errc::limit) return;
    if (!received) {
      loop_.unwatch(sandbox_.control.fd(), control_watch_);
      on_gone();
      return;
    }
    on_message(*received);
    if (done_) return;
  }
}

void Session::on_message(ipc::Received& received) {
  if (const auto terminal = received.as<ipc::ProgramTerminal>(); terminal) {
    if (terminal->program == program_ && !terminal_.attach(std::move(received.fd))) {
      end(kNotStarted, "the private terminal cannot be used");
    }
  } else if (const auto started = received.as<ipc::ProgramStarted>(); started) {
    ended_.started = true;
    for (const int number : std::exchange(early_signals_, {})) pass_on(number);
  } else if (const auto failed = received.as<ipc::ProgramFailed>(); failed) {
    if (failed->program == program_) on_failed(static_cast<int>(failed->error));
  } else if (const auto exited = received.as<ipc::ProgramExited>(); exited) {
    if (exited->program == program_) on_exited(*exited);
  } else {
    end(kNotStarted, "oqto-init answered out of turn");
  }
}

void Session::on_failed(int error) {
  // As execvp(3): what is not there is looked for elsewhere; what may not be executed is
  // remembered, in case nothing better is found.
  const bool absent = error == ENOENT || error == ENOTDIR;
  if (!absent || worst_error_ == 0) worst_error_ = error;
  if ((absent || error == EACCES) && !candidates_.empty()) {
    start_program();
    return;
  }
  const std::string& name = options_.program[0];
  if (worst_error_ == ENOENT || worst_error_ == ENOTDIR) {
    std::string rule = "not found: " + name;
    if (const std::string outside = found_outside(name); !outside.empty()) {
      rule += "; outside it is " + outside +
              ", which nothing grants: allow_read, and PATH in [env] set if it is not found then";
    }
    end(kNotFound, std::move(rule));
    return;
  }
  std::string rule = "cannot be executed: " + name + ": " + ::strerrordesc_np(worst_error_);
  if (worst_error_ == EACCES && setup_.policy.policy.run_own_programs == 0) {
    rule += "; programs of the workspace's own are not executed (" +
            origin_of(setup_.policy, "run_own_programs") + ')';
  }
  end(kNotExecutable, std::move(rule));
}

void Session::on_exited(const ipc::ProgramExited& exited) {
  ended_.signal = exited.signal;
  int status = exited.signal == 0 ? exited.exit_status : kSignalled + exited.signal;
  std::string rule = stop_rule_;
  if (stop_status_ != 0) {
    status = stop_status_;
  } else if (exited.signal == SIGSYS) {
    rule = "killed by the system call filter: a call of a foreign ABI";
  } else if (exited.signal == SIGKILL && leaf_ && leaf_.usage().memory_kills != 0) {
    rule = "killed: memory_bytes of " + std::to_string(setup_.policy.policy.limits.memory_bytes) +
           " is used up (" + origin_of(setup_.policy, "limits.memory_bytes") + ')';
  } else if (exited.signal == SIGXFSZ) {
    rule = "killed: a file would be larger than file_bytes of " +
           std::to_string(setup_.policy.policy.limits.file_bytes) + " (" +
           origin_of(setup_.policy, "limits.file_bytes") + ')';
  }
  end(status, std::move(rule));
}

void Session::on_errors() {
  char piece[512];
  constexpr std::size_t kMaxSaid = 2048;
  const ssize_t n = ::read(sandbox_.errors.get(), piece, sizeof piece);
  if (n == 0) loop_.unwatch(sandbox_.errors, errors_watch_);
  if (n > 0 && said_.size() < kMaxSaid) said_.append(piece, static_cast<std::size_t>(n));
}

// Nothing is left inside, and the program's end was not reported.
void Session::on_gone() {
  if (done_) return;
  if (!stop_rule_.empty() || stop_status_ != 0) {
    end(stop_status_, stop_rule_);
    return;
  }
  std::string rule = "the sandbox was ended from outside";
  if (leaf_ && leaf_.usage().memory_kills != 0) rule = "the sandbox ended: its memory is used up";
  if (!said_.empty()) rule += ": " + said_.substr(0, said_.find('\n'));
  end(kSignalled + SIGKILL, std::move(rule));
}

// --- signals -----------------------------------------------------------------------------------

// As nohup(1) and shells' background jobs have it. What is blocked is kept for us nevertheless.
void leave_ignored_signals() {
  for (const int number : {SIGHUP, SIGINT, SIGQUIT}) {
    struct sigaction now {};
    if (::sigaction(number, nullptr, &now) != 0 || now.sa_handler != SIG_IGN) continue;
    sigset_t one;
    sigemptyset(&one);
    (void)sigaddset(&one, number);
    (void)::sigprocmask(SIG_UNBLOCK, &one, nullptr);
  }
}

void Session::on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    on_signal(static_cast<int>(info.ssi_signo));
  }
}

void Session::on_signal(int number) {
  switch (number) {
    case SIGCHLD:
      reap();
      break;
    case SIGWINCH:
      terminal_.resize();
      break;
    case SIGTSTP:
      suspend();
      break;
    case SIGTERM:
      // A second one means it.
      if (kill_at_ != 0)
        kill_at_ = sys::monotonic_ms();
      else
        stop_for("", 0);
      break;
    default:
      pass_on(number);
  }
}

void Session::reap() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
    if (pid <= 0) break;
    if (pid == sandbox_.stage && !WIFSTOPPED(status)) {
      reaped_ = true;
      on_control();  // the program's end may have been reported
      on_gone();
    } else {
      services_->on_child(pid, status);
    }
  }
  services_->after_children();
}

void Session::pass_on(int number) {
  if (!ended_.started) {
    early_signals_.push_back(number);
    return;
  }
  (void)sandbox_.control.send(ipc::SignalProgram{program_, static_cast<std::uint8_t>(number)});
}

// The program too: a group without a controlling shell would ignore SIGTSTP.
void Session::suspend() {
  pass_on(SIGSTOP);
  terminal_.suspend();
  (void)::kill(::getpid(), SIGSTOP);
  terminal_.resize();
  terminal_.resume();
  pass_on(SIGCONT);
}

}  // namespace oqto::sandbox_cli
