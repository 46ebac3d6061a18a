#include "sandbox_cli/prompt.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {
namespace {

using ipc::ApprovalChoice;

constexpr std::size_t kMaxTyped = 256;
constexpr std::uint64_t kMsPerSecond = 1000;
// The program may have left the terminal writing in invisible colours or another character set.
constexpr std::string_view kPlain = "\x1b[0m\x1b(B\r\n";

std::string what(const ipc::ApprovalAsk& facts) {
  const char* act = facts.kind == ipc::ApprovalKind::host ? "reach the host " : "read ";
  std::string text = act + printable(facts.what.view());
  return text;
}

std::string who(const ipc::ApprovalAsk& facts) {
  if (facts.pid == 0) return "A program in the sandbox";
  std::string text = "Process " + std::to_string(facts.pid);
  for (const std::string& word : facts.argv.values) text += ' ' + printable(word);
  if (!facts.cwd.view().empty()) text += " (in " + printable(facts.cwd.view()) + ')';
  return text;
}

}  // namespace

void Prompter::ask(const ipc::ApprovalAsk& question, Answer answer) {
  if (waiting_.size() >= kMaxQuestions) {
    answer(ApprovalChoice::deny);
    return;
  }
  waiting_.push_back({question, std::move(answer)});
  if (!asking_) begin();
}

void Prompter::begin() {
  while (!asking_ && !waiting_.empty()) {
    asking_ = true;
    typed_.clear();
    const std::uint64_t wait_ms = waiting_.front().facts.timeout_s * kMsPerSecond;
    deadline_ = sys::monotonic_ms() + wait_ms;
    tty_ = Fd::adopt(::open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    // From the background it cannot be read without being stopped.
    if (!tty_ || ::tcgetpgrp(tty_.get()) != ::getpgrp()) {
      finish(ApprovalChoice::deny, "there is no terminal to ask on");
      continue;
    }
    terminal_.hold(true);
    // What was typed for the program is not an answer.
    if (::tcflush(tty_.get(), TCIFLUSH) != 0 || !loop_.watch(tty_, *this)) {
      finish(ApprovalChoice::deny, "the terminal cannot be used");
      continue;
    }
    show();
  }
}

void Prompter::show() {
  const auto& facts = waiting_.front().facts;
  std::string text(kPlain);
  text += "oqto-sandbox: " + who(facts) + "\nwants to " + what(facts) +
          ", which the policy leaves to you.\n"
          "Allow it [o]nce, for this whole [s]ession, or [d]eny? (denied in " +
          std::to_string(facts.timeout_s) + " s) ";
  (void)!::write(tty_.get(), text.data(), text.size());
}

void Prompter::on_ready(std::uint32_t events) {
  char piece[128];
  const ssize_t n = ::read(tty_.get(), piece, sizeof piece);
  if (n < 0 && errno == EAGAIN && (events & EPOLLHUP) == 0) return;
  if (n <= 0 || typed_.size() > kMaxTyped) {
    finish(ApprovalChoice::deny, "the terminal was closed");
    begin();
    return;
  }
  typed_.append(piece, static_cast<std::size_t>(n));
  const std::size_t end = typed_.find('\n');
  if (end == typed_.npos) return;
  const std::string word = typed_.substr(0, end);
  if (word == "o" || word == "once")
    finish(ApprovalChoice::once, "");
  else if (word == "s" || word == "session")
    finish(ApprovalChoice::session, "");
  else
    finish(ApprovalChoice::deny, word == "d" || word == "deny" ? "" : "that was neither o nor s");
  begin();
}

void Prompter::tick(std::uint64_t now_ms) {
  if (!asking_ || now_ms < deadline_) return;
  finish(ApprovalChoice::deny, "no answer in time");
  begin();
}

void Prompter::finish(ApprovalChoice choice, std::string_view because) {
  const Question question = std::move(waiting_.front());
  waiting_.pop_front();
  asking_ = false;
  if (tty_) loop_.unwatch(tty_, *this);
  tty_.reset();
  if (!because.empty()) {
    complain("denied: to " + what(question.facts) + ": " + std::string(because));
  }
  terminal_.hold(false);
  question.answer(choice);
}

void Prompter::close() {
  while (!waiting_.empty()) {
    const Answer answer = std::move(waiting_.front().answer);
    waiting_.pop_front();
    answer(ApprovalChoice::deny);
  }
  if (tty_) loop_.unwatch(tty_, *this);
  tty_.reset();
  asking_ = false;
}

}  // namespace oqto::sandbox_cli
