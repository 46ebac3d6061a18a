#include "runner/pi_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::runner {

static constexpr std::uint32_t kProgram = 1;  // Pi is the first program of its session

// The only long records whose content we have had already, piece by piece.
static bool may_skip(std::string_view line) {
  return line.starts_with(R"({"type":"agent_end")") || line.starts_with(R"({"type":"turn_end")");
}

PiProcess::PiProcess(Reactor& reactor, Owner& owner)
    : reactor_(reactor),
      owner_(owner),
      init_(reactor, [this](ipc::Received& received) { on_init(received); },
            [this](const Error&) { on_init_gone(); }),
      lines_(kMaxLine, may_skip),
      error_lines_(kMaxErrorLine, [](std::string_view) { return true; }) {}

// {read end, write end}; `ours` does not block, the other does, as Pi expects.
static Result<std::pair<Fd, Fd>> make_pipe(bool ours_reads) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  std::pair<Fd, Fd> pipe(Fd::adopt(ends[0]), Fd::adopt(ends[1]));
  TRY(sys::set_nonblocking(ours_reads ? pipe.first : pipe.second, true));
  return pipe;
}

Status PiProcess::start(ipc::Channel init, const pi::Start& start) {
  auto [their_input, our_input] = TRY(make_pipe(false));
  auto [our_output, their_output] = TRY(make_pipe(true));
  auto [our_errors, their_errors] = TRY(make_pipe(true));
  TRY(init.send(ipc::GiveStdio{kProgram, ipc::StdioKind::in}, their_input));
  TRY(init.send(ipc::GiveStdio{kProgram, ipc::StdioKind::out}, their_output));
  TRY(init.send(ipc::GiveStdio{kProgram, ipc::StdioKind::err}, their_errors));
  ipc::StartProgram message;
  message.program = kProgram;
  message.argv.values = start.argv;
  message.env.values = start.env;
  message.cwd = ipc::Text<1024>(start.cwd);
  TRY(init.send(message));
  input_ = std::move(our_input);
  output_ = std::move(our_output);
  errors_ = std::move(our_errors);
  input_watch_ = reactor_.watch(input_, [] {});
  input_watch_.pause();  // there is nothing to read from it
  output_watch_ = reactor_.watch(output_, [this] { read_output(); });
  errors_watch_ = reactor_.watch(errors_, [this] { read_errors(); });
  init_.attach(std::move(init));
  return {};
}

void PiProcess::on_init(ipc::Received& received) {
  if (received.tag == ipc::Tag::program_failed) {
    if (const auto failed = received.as<ipc::ProgramFailed>()) {
      end("it could not be executed (errno " + std::to_string(failed->error) + ")");
    }
  } else if (received.tag == ipc::Tag::program_exited) {
    const auto exited = received.as<ipc::ProgramExited>();
    if (!exited || exited->program != kProgram) return;
    exit_ = exited->signal != 0 ? "it was ended by signal " + std::to_string(exited->signal)
                                : "it exited with status " + std::to_string(exited->exit_status);
    // What it wrote last may still be on its way; a child of it may hold the pipe open for ever.
    if (at_end_) return end(exit_);
    linger_ = reactor_.after(200, [this] { end(exit_); });
  }
}

// The guard tells why, in a moment, and better than we can.
void PiProcess::on_init_gone() {
  sandbox_gone_ = true;
  if (exit_.empty()) exit_ = "its sandbox ended";
  linger_ = reactor_.after(1000, [this] { end(exit_); });
}

void PiProcess::read_output() {
  std::array<char, 64 * 1024> buffer;
  const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    output_watch_.pause();
    at_end_ = true;
    if (sandbox_gone_) return;
    if (!exit_.empty()) return end(exit_);
    linger_ = reactor_.after(200, [this] { end(exit_.empty() ? "it closed its output" : exit_); });
    return;
  }
  const std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
  if (!lines_.feed(bytes, [this](std::string_view line) { on_line(line); })) {
    end("it wrote a line of more than 16 MiB");
  }
}

void PiProcess::on_line(std::string_view line) {
  if (ended_) return;
  const auto json = protocol::parse_json(line, {.depth = 64, .values = 1'000'000});
  if (!json || json->object() == nullptr) {
    log::warn("a line of the harness that is no JSON object was skipped",
              {{"bytes", line.size()}});
    return;
  }
  owner_.on_record(*json);
}

void PiProcess::read_errors() {
  std::array<char, 4096> buffer;
  const ssize_t n = ::read(errors_.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    errors_watch_.pause();
    return;
  }
  (void)error_lines_.feed({buffer.data(), static_cast<std::size_t>(n)}, [this](std::string_view line) {
    last_errors_.emplace_back(line);
    if (last_errors_.size() > kMaxErrorLines) last_errors_.pop_front();
  });
}

bool PiProcess::send(std::string line) {
  if (ended_ || closing_ || outgoing_.size() - written_ + line.size() > kMaxOutgoing) return false;
  outgoing_ += line;
  write_some();
  return true;
}

void PiProcess::write_some() {
  while (!writing_ && written_ < outgoing_.size() && !ended_) {
    const ssize_t n = ::write(input_.get(), outgoing_.data() + written_, outgoing_.size() - written_);
    if (n >= 0) {
      written_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      writing_ = true;
      input_watch_.when_writable([this] {
        writing_ = false;
        write_some();
      });
    } else if (errno != EINTR) {
      written_ = outgoing_.size();  // it reads no more: its end will be told
    }
  }
  if (written_ < outgoing_.size()) return;
  outgoing_ = {};
  written_ = 0;
  if (!closing_ || ended_) return;
  input_watch_.reset();
  input_.reset();
}

void PiProcess::close_input() {
  closing_ = true;
  write_some();
}

void PiProcess::hold(bool on) {
  if (ended_ || at_end_) return;
  if (on) {
    output_watch_.pause();
  } else {
    output_watch_.resume();
  }
}

void PiProcess::forget_errors() {
  if (errors_) read_errors();
  last_errors_.clear();
}

std::string PiProcess::error_tail() const {
  std::string tail;
  for (const std::string& line : last_errors_) tail += "\n" + line;
  if (!error_lines_.rest().empty()) tail += "\n" + std::string(error_lines_.rest());
  return tail;
}

void PiProcess::end(std::string why) {
  if (ended_) return;
  if (errors_) read_errors();
  ended_ = true;
  linger_.cancel();
  input_watch_.reset();
  output_watch_.reset();
  errors_watch_.reset();
  init_.detach();
  input_.reset();
  output_.reset();
  errors_.reset();
  owner_.on_ended(why + error_tail());
}

}  // namespace oqto::runner
