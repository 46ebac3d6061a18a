#include "runner/sandbox_link.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/sys.h"

namespace oqto::runner {

SandboxLink::SandboxLink(Reactor& reactor, ipc::Channel init)
    : init_(reactor, [this](ipc::Received& received) { on_message(received); },
            [this](const Error&) { std::exchange(gone_, [] {})(); }) {
  init_.attach(std::move(init));
}

Result<std::uint32_t> SandboxLink::start(const Program& program, const Stdio& stdio, Events events) {
  const std::uint32_t number = next_++;
  TRY(init_.send(ipc::GiveStdio{number, ipc::StdioKind::in}, stdio.input));
  TRY(init_.send(ipc::GiveStdio{number, ipc::StdioKind::out}, stdio.output));
  TRY(init_.send(ipc::GiveStdio{number, ipc::StdioKind::err}, stdio.errors));
  ipc::StartProgram message;
  message.program = number;
  message.argv.values = program.argv;
  message.env.values = program.env;
  message.cwd = ipc::Text<1024>(program.cwd);
  TRY(init_.send(message));
  programs_[number] = std::make_shared<Events>(std::move(events));
  return number;
}

void SandboxLink::stop(std::uint32_t program) {
  (void)init_.send(ipc::SignalProgram{program, SIGKILL});
}

void SandboxLink::on_message(ipc::Received& received) {
  if (received.tag == ipc::Tag::program_started) {
    const auto started = received.as<ipc::ProgramStarted>();
    const auto found = started ? programs_.find(started->program) : programs_.end();
    if (found == programs_.end()) return;
    const auto events = found->second;
    events->started(started->pid);
  } else if (received.tag == ipc::Tag::program_failed) {
    if (const auto failed = received.as<ipc::ProgramFailed>()) {
      finish(failed->program, "it could not be executed (errno " + std::to_string(failed->error) + ")");
    }
  } else if (received.tag == ipc::Tag::program_exited) {
    const auto exited = received.as<ipc::ProgramExited>();
    if (!exited) return;
    finish(exited->program, exited->signal != 0 ? "it was ended by signal " + std::to_string(exited->signal)
                                                : "it exited with status " + std::to_string(exited->exit_status));
  }
}

void SandboxLink::finish(std::uint32_t program, const std::string& how) {
  const auto found = programs_.find(program);
  if (found == programs_.end()) return;
  const auto events = found->second;
  programs_.erase(found);
  events->ended(how);
}

// --- InsideProgram -------------------------------------------------------------------------------

InsideProgram::InsideProgram(Reactor& reactor, SandboxLink& link, const Program& program, Bounds bounds, Done done)
    : link_(link), bounds_(bounds), done_(std::move(done)) {
  deadline_ = reactor.after(bounds_.time_ms, [this] {
    settle(fail(Errc::unavailable, "a program inside the sandbox did not end in time"));
  });
  if (const Status begun = begin(reactor, program); !begun) {
    // Later: nobody expects to be called from here.
    deadline_ = reactor.after(0, [this, begun] { settle(begun); });
  }
}

InsideProgram::~InsideProgram() {
  *alive_ = false;
  if (program_ != 0) {
    link_.forget(program_);
    link_.stop(program_);
  }
  settle(fail(Errc::unavailable, "the sandbox has ended"));
}

Status InsideProgram::begin(Reactor& reactor, const Program& program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  output_ = Fd::adopt(ends[0]);
  const Fd theirs = Fd::adopt(ends[1]);
  TRY(sys::set_nonblocking(output_, true));
  int nothing[2];
  if (::pipe2(nothing, O_CLOEXEC) != 0) return fail_errno("pipe2");
  const Fd input = Fd::adopt(nothing[0]);
  ::close(nothing[1]);  // an input that is at its end
  int unheard[2];
  if (::pipe2(unheard, O_CLOEXEC) != 0) return fail_errno("pipe2");
  ::close(unheard[0]);
  const Fd errors = Fd::adopt(unheard[1]);
  watch_ = reactor.watch(output_, [this] { (void)read_output(); });
  program_ = TRY(link_.start(program, {input, theirs, errors}, {.started = [this, alive = alive_](std::uint32_t pid) {
                                                if (*alive) said_.pid = pid;
                                              },
                                              .ended = [this, alive = alive_](const std::string& how) {
                                                if (!*alive) return;
                                                program_ = 0;
                                                while (read_output()) {  // what still lies in the pipe
                                                }
                                                const bool good = how == "it exited with status 0";
                                                settle(good
                                                           ? Status()
                                                           : fail(Errc::denied, "a program inside the sandbox failed"));
                                              }}));
  return {};
}

bool InsideProgram::read_output() {
  if (!output_) return false;
  std::array<char, 64 * 1024> buffer;
  const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) {
    watch_.reset();
    output_.reset();
    return false;
  }
  said_.output.append(buffer.data(), static_cast<std::size_t>(n));
  if (said_.output.size() <= bounds_.output) return true;
  settle(fail(Errc::limit, "a program inside the sandbox said too much"));
  return false;
}

void InsideProgram::settle(Status status) {
  deadline_.cancel();
  watch_.reset();
  const Done done = std::exchange(done_, nullptr);
  if (!done) return;
  if (!status) return done(std::unexpected(status.error()));
  done(std::move(said_));
}

}  // namespace oqto::runner
