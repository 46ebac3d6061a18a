#include "sandbox_cli/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace oqto::sandbox_cli {
namespace {

constexpr std::size_t kMaxBuffered = 64 * 1024;  // per direction: then the writer waits
constexpr int kLastOutputMs = 2000;              // for a screen that does not take it

// For the handler of a crash, which may touch nothing else.
int saved_terminal = -1;
termios saved_modes;

void restore_modes() {
  // Keys that are still unread may be the terminal's answers to what the program printed: dropped,
  // so that they are not typed into the shell.
  if (saved_terminal >= 0) (void)::tcsetattr(saved_terminal, TCSAFLUSH, &saved_modes);
}

void on_crash(int number) {
  restore_modes();
  (void)::signal(number, SIG_DFL);
  (void)::raise(number);
}

// A description of our own, so that non-blocking mode does not reach whoever shares the terminal.
Fd own_description(int number, int flags) {
  const std::string path = "/proc/self/fd/" + std::to_string(number);
  Fd fd = Fd::adopt(::open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) fd = Fd::adopt(::fcntl(number, F_DUPFD_CLOEXEC, 3));
  return fd;
}

// Moves what can be moved now. False: that end is gone.
bool fill(const Fd& from, std::string& buffer) {
  char piece[16 * 1024];
  const std::size_t room = std::min(sizeof piece, kMaxBuffered - buffer.size());
  if (room == 0) return true;
  const ssize_t n = ::read(from.get(), piece, room);
  if (n > 0) buffer.append(piece, static_cast<std::size_t>(n));
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool drain(const Fd& to, std::string& buffer) {
  while (!buffer.empty()) {
    const ssize_t n = ::write(to.get(), buffer.data(), buffer.size());
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    buffer.erase(0, static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

Terminal::Terminal(ipc::Loop& loop) : loop_(loop) {
  typed_.ready = &Terminal::on_typed;
  shown_.ready = &Terminal::on_shown;
  master_.ready = &Terminal::on_master;
  for (End* end : {&typed_, &shown_, &master_}) end->owner = this;
  int screen = -1;
  for (const int number : {0, 2, 1}) {  // the last wins
    if (::isatty(number) == 0) continue;
    terminals_[static_cast<std::size_t>(number)] = true;
    screen = number;
  }
  if (terminals_[0]) typed_.fd = own_description(0, O_RDONLY);
  if (screen >= 0) shown_.fd = own_description(screen, O_WRONLY);
}

Terminal::Size Terminal::size() const {
  winsize found{};
  Size size;
  if (!any() || ::ioctl(shown_.fd.get(), TIOCGWINSZ, &found) != 0) return size;
  if (found.ws_row != 0) size.rows = found.ws_row;
  if (found.ws_col != 0) size.columns = found.ws_col;
  return size;
}

Status Terminal::attach(Fd master) {
  master_.fd = std::move(master);
  const int flags = ::fcntl(master_.fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(master_.fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno("fcntl of the private terminal");
  }
  resize();
  resume();
  rewatch();
  return {};
}

void Terminal::detach() {
  held_ = false;
  if (master_.fd) {
    // The program has ended, but not always all that it started: what is there now is its last
    // word.
    for (bool more = true; more && shown_.fd;) {
      const std::size_t before = to_screen_.size();
      more = fill(master_.fd, to_screen_) && to_screen_.size() > before;
      pollfd screen{shown_.fd.get(), POLLOUT, 0};
      if (!drain(shown_.fd, to_screen_)) break;
      if (!to_screen_.empty() && ::poll(&screen, 1, kLastOutputMs) <= 0) break;
      more = more || !to_screen_.empty();
    }
    close(master_);
  }
  suspend();
  close(typed_);
  close(shown_);
}

void Terminal::resize() {
  if (!master_.fd) return;
  const Size now = size();
  const winsize wanted{now.rows, now.columns, 0, 0};
  (void)::ioctl(master_.fd.get(), TIOCSWINSZ, &wanted);
}

void Terminal::suspend() {
  if (!std::exchange(raw_, false)) return;
  restore_modes();
  saved_terminal = -1;
  rewatch();
}

void Terminal::resume() {
  if (raw_ || held_ || !typed_.fd || !master_.fd || !in_foreground()) return;
  if (::tcgetattr(typed_.fd.get(), &saved_modes) != 0) return;
  termios modes = saved_modes;
  ::cfmakeraw(&modes);
  saved_terminal = typed_.fd.get();
  struct sigaction crash {};
  crash.sa_handler = on_crash;
  for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
    (void)::sigaction(number, &crash, nullptr);
  }
  raw_ = ::tcsetattr(typed_.fd.get(), TCSADRAIN, &modes) == 0;
  rewatch();
}

void Terminal::hold(bool on) {
  if (on) suspend();
  held_ = on;
  if (!on) resume();
  rewatch();
}

// In the background a read or a change of modes would stop us.
bool Terminal::in_foreground() const {
  const pid_t group = ::tcgetpgrp(typed_.fd.get());
  return group < 0 || group == ::getpgrp();
}

void Terminal::on_typed() {
  if (!fill(typed_.fd, to_program_)) {
    close(typed_);
    raw_ = false;
    saved_terminal = -1;
  }
  on_master();
}

void Terminal::on_master() {
  // Nobody inside holds it any more: its last output has been read.
  if (master_.fd && (!fill(master_.fd, to_screen_) || !drain(master_.fd, to_program_))) {
    close(master_);
  }
  on_shown();
}

void Terminal::on_shown() {
  if (shown_.fd && !drain(shown_.fd, to_screen_)) close(shown_);
  if (!shown_.fd) to_screen_.clear();
  rewatch();
}

void Terminal::rewatch() {
  if (held_) {
    for (End* end : {&typed_, &shown_, &master_}) watch(*end, 0);
    return;
  }
  const bool reads = raw_ && master_.fd && to_program_.size() < kMaxBuffered;
  watch(typed_, reads ? EPOLLIN : 0U);
  watch(master_,
        (to_screen_.size() < kMaxBuffered ? EPOLLIN : 0U) | (to_program_.empty() ? 0U : EPOLLOUT));
  watch(shown_, to_screen_.empty() ? 0U : EPOLLOUT);
}

void Terminal::watch(End& end, std::uint32_t events) {
  if (!end.fd || end.events == events) return;
  if (events == 0) {
    loop_.unwatch(end.fd, end);
  } else {
    const Status done =
        end.events == 0 ? loop_.watch(end.fd, end, events) : loop_.rewatch(end.fd, end, events);
    if (!done) return;
  }
  end.events = events;
}

void Terminal::close(End& end) {
  watch(end, 0);
  end.fd.reset();
}

}  // namespace oqto::sandbox_cli
