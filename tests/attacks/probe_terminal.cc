// Attacks on the terminal that a session shares with a person.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

int open_pair(int& slave) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  int unlock = 0, index = 0;
  if (master < 0 || ::ioctl(master, TIOCSPTLCK, &unlock) != 0 ||
      ::ioctl(master, TIOCGPTN, &index) != 0) {
    return -1;
  }
  slave = ::open(("/dev/pts/" + std::to_string(index)).c_str(), O_RDWR | O_NOCTTY);
  return slave < 0 ? -1 : master;
}

// REQUEST on a terminal that is the caller's own: does what it types arrive?
int type_into(const Words& a) {
  int slave = -1;
  if (open_pair(slave) < 0) return verdict(false);
  const unsigned long request = static_cast<unsigned long>(number(a[0]));
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    if (::ioctl(slave, TIOCSCTTY, 0) != 0) ::_exit(verdict(false));
    char typed[2] = {'\n', 0};
    const bool sent = ::syscall(SYS_ioctl, slave, request, typed) == 0;
    const int error = errno;
    pollfd ready{slave, POLLIN, 0};
    const bool arrived = ::poll(&ready, 1, 200) == 1;
    errno = error;
    verdict(sent && arrived);
    std::fflush(stdout);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  return 0;
}

// On the terminal that the program was given: standard input.
int type_into_own(const Words& a) {
  char typed[2] = {'x', 0};
  return verdict(::syscall(SYS_ioctl, 0, number(a[0]), typed) == 0);
}

// A line discipline is kernel code that a terminal loads: DISCIPLINE
int load_discipline(const Words& a) {
  int slave = -1;
  if (open_pair(slave) < 0) return verdict(false);
  int discipline = static_cast<int>(number(a[0]));
  return verdict(::ioctl(slave, TIOCSETD, &discipline) == 0);
}

// The terminal of another session (of processes) as one's own.
int steal_terminal(const Words&) {
  int slave = -1, ends[2];
  if (open_pair(slave) < 0 || ::pipe(ends) != 0) return verdict(false);
  const pid_t owner = ::fork();
  if (owner == 0) {
    ::setsid();
    (void)::ioctl(slave, TIOCSCTTY, 0);
    (void)!::write(ends[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  (void)!::read(ends[0], &byte, 1);
  const pid_t thief = ::fork();
  if (thief == 0) {
    ::setsid();
    verdict(::ioctl(slave, TIOCSCTTY, 1) == 0);
    std::fflush(stdout);
    ::_exit(0);
  }
  ::waitpid(thief, nullptr, 0);
  ::kill(owner, SIGKILL);
  return 0;
}

int redirect_console(const Words&) {
  int slave = -1;
  if (open_pair(slave) < 0) return verdict(false);
  return verdict(::ioctl(slave, TIOCCONS, 0) == 0);
}

int works(const Words&) {  // not an attack: a pty must work
  int slave = -1;
  const int master = open_pair(slave);
  char back[8] = {};
  return verdict(master >= 0 && ::write(master, "hi\n", 3) == 3 && ::read(slave, back, 8) == 3);
}

constexpr Attack kAttacks[] = {
    {"tiocsti", type_into},          {"tiocsti-own", type_into_own},
    {"line-discipline", load_discipline}, {"steal-terminal", steal_terminal},
    {"console", redirect_console},   {"pty", works},
};

}  // namespace

std::span<const Attack> terminal_attacks() { return kAttacks; }

}  // namespace probe
