#include "runner/pi_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::runner {

// The only long records that may be dropped: their content was had already, piece by piece, or was asked
// for and can be done without.
static bool may_skip(std::string_view line) {
  return line.starts_with(R"({"type":"agent_end")") || line.starts_with(R"({"type":"turn_end")") ||
         line.find(R"("type":"response","command":"get_entries")") != std::string_view::npos;
}

PiProcess::PiProcess(Reactor& reactor, Owner& owner)
    : reactor_(reactor),
      owner_(owner),
      lines_(kMaxLine, may_skip),
      error_lines_(kMaxErrorLine, [](std::string_view) { return true; }) {}

PiProcess::~PiProcess() {
  if (program_ != 0) sandbox_->forget(program_);
}

// {read end, write end}; `ours` does not block, the other does, as Pi expects.
static Result<std::pair<Fd, Fd>> make_pipe(bool ours_reads) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  std::pair<Fd, Fd> pipe(Fd::adopt(ends[0]), Fd::adopt(ends[1]));
  TRY(sys::set_nonblocking(ours_reads ? pipe.first : pipe.second, true));
  return pipe;
}

Status PiProcess::start(SandboxLink& sandbox, const Program& program) {
  auto [their_input, our_input] = TRY(make_pipe(false));
  auto [our_output, their_output] = TRY(make_pipe(true));
  auto [our_errors, their_errors] = TRY(make_pipe(true));
  program_ = TRY(sandbox.start(program, {their_input, their_output, their_errors},
                               {.started = [this](std::uint32_t pid) { pid_ = pid; },
                                .ended = [this](const std::string& how) { on_exit(how); }}));
  sandbox_ = &sandbox;
  input_ = std::move(our_input);
  output_ = std::move(our_output);
  errors_ = std::move(our_errors);
  input_watch_ = reactor_.watch(input_, [] {});
  input_watch_.pause();  // there is nothing to read from it
  output_watch_ = reactor_.watch(output_, [this] { read_output(); });
  errors_watch_ = reactor_.watch(errors_, [this] { read_errors(); });
  return {};
}

void PiProcess::on_exit(const std::string& how) {
  program_ = 0;
  if (pid_ == 0) return end(how);  // it never ran
  exit_ = how;
  // What it wrote last may still be on its way; a child of it may hold the pipe open for ever.
  if (at_end_) return end(exit_);
  linger_ = reactor_.after(200, [this] { end(exit_); });
}

// The guard tells why, in a moment, and better than we can.
void PiProcess::on_sandbox_gone() {
  sandbox_gone_ = true;
  program_ = 0;
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
    unreadable("it wrote a line of more than 48 MiB");
  }
}

// Whatever is nested deeper than we look becomes a text that holds its JSON: nothing of it is lost, and
// nothing in it can make a record unreadable.
static Result<protocol::Json> parse_record(std::string_view line) {
  const bool delta = line.starts_with(R"({"type":"message_update")");
  protocol::JsonLimits limits{.depth = 48, .values = 1'000'000, .deep_as_text = true, .keep_halves = delta};
  auto json = protocol::parse_json(line, limits);
  if (json || json.error().code != Errc::limit) return json;
  // More values than we hold: arguments of a tool, then. They stay one text.
  limits.depth = delta ? 3 : line.starts_with(R"({"type":"tool_execution_)") ? 1 : 4;
  return protocol::parse_json(line, limits);
}

void PiProcess::on_line(std::string_view line) {
  if (ended_ || line.empty()) return;
  const auto json = parse_record(line);
  if (json && json->object() != nullptr) return owner_.on_record(*json);
  unreadable(json ? "it wrote a line that is no record" : json.error().what);
}

void PiProcess::unreadable(std::string_view what) {
  owner_.on_unreadable(what);
  end("the harness wrote what cannot be read: " + std::string(what));
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
  if (written_ > 1024 * 1024) {
    outgoing_.erase(0, written_);
    written_ = 0;
  }
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
  if (program_ != 0) sandbox_->forget(program_);
  program_ = 0;
  input_.reset();
  output_.reset();
  errors_.reset();
  owner_.on_ended(why + error_tail());
}

}  // namespace oqto::runner
