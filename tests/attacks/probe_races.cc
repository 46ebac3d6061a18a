// Attacks by changing something between a check and its use.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <system_error>
#include <thread>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

// A thread flips the argument while the main thread executes: what a reader sees before the exec
// need not be what is executed. The new image appends what it really got to a file.
int race(const Words& a) {  // ROUNDS LOG
  for (long round = 0; round < number(a[0]); ++round) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      static char flipping[16] = "innocent";
      std::atomic<bool> go{false};
      std::thread([&go] {
        go = true;
        for (;;) {
          std::memcpy(flipping, "malicious", 10);
          std::memcpy(flipping, "innocent\0", 10);
        }
      }).detach();
      while (!go) {
      }
      std::string name = std::to_string(round), file = a[1], program = self(), verb = "note";
      char* argv[] = {program.data(), verb.data(), file.data(), name.data(), flipping, nullptr};
      ::execv(self(), argv);
      ::_exit(1);
    }
    ::waitpid(pid, nullptr, 0);
  }
  return verdict(true);
}

int note(const Words& a) {  // LOG ROUND VALUE
  const int fd = ::open(a[0].c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const std::string line = a[1] + ' ' + a[2] + '\n';
  return ::write(fd, line.data(), line.size()) > 0 ? 0 : 1;
}

// Several threads execute at once; one of them wins and the others end. Then all of it again.
int exec_from_threads(const Words& a) {
  const long depth = number(a[0]);
  if (depth == 0) return verdict(true);
  std::string left = std::to_string(depth - 1), program = self(), verb = "exec-threads";
  for (int started = 0; started < 4;) {
    try {
      std::thread([&] {
        char* argv[] = {program.data(), verb.data(), left.data(), nullptr};
        ::execv(self(), argv);
      }).detach();
      ++started;
    } catch (const std::system_error&) {  // EAGAIN on a busy machine: the same thread again
      ::usleep(1000);
    }
  }
  for (;;) ::pause();
}

int exec_unreadable(const Words&) {
  char* argv[] = {reinterpret_cast<char*>(16), nullptr};
  ::execv("/bin/true", argv);
  return verdict(false);
}

// A thread flips the PATH that is being opened between ALLOWED and HIDDEN, which have the same
// length. Open: once, what came was HIDDEN's content, which starts with "secret".
int open_race(const Words& a) {  // ROUNDS ALLOWED HIDDEN
  static char path[256];
  a[1].copy(path, sizeof path - 1);
  std::atomic<bool> stop{false};
  std::thread flipper([&] {
    while (!stop) {
      std::memcpy(path, a[2].data(), a[2].size());
      std::memcpy(path, a[1].data(), a[1].size());
    }
  });
  bool found = false;
  long opened = 0;
  for (long round = 0; round < number(a[0]) && !found; ++round) {
    const int fd = ::open(path, O_RDONLY);
    if (fd < 0) continue;
    ++opened;
    char text[8] = {};
    found = ::read(fd, text, 6) == 6 && std::strcmp(text, "secret") == 0;
    ::close(fd);
  }
  stop = true;
  flipper.join();
  if (opened == 0) return closed(ENODATA);  // it raced nothing
  return found ? verdict(true) : closed(EACCES);
}

int read_often(const Words& a) {  // PATH ROUNDS
  for (long round = 0; round < number(a[1]); ++round) {
    if (::open(a[0].c_str(), O_RDONLY) >= 0) return verdict(true);
  }
  return verdict(false);
}

// Exchanges A and B until it is ended; prints nothing. Run outside, as the one who owns them.
int exchange_for_ever(const Words& a) {
  (void)!::write(1, "holding\n", 8);
  for (;;) {
    ::syscall(SYS_renameat2, AT_FDCWD, a[0].c_str(), AT_FDCWD, a[1].c_str(), 2);
  }
}

constexpr Attack kAttacks[] = {
    {"race", race},
    {"note", note},
    {"exec-threads", exec_from_threads},
    {"exec-unreadable", exec_unreadable},
    {"open-race", open_race},
    {"read-often", read_often},
    {"exchange-for-ever", exchange_for_ever},
};

}  // namespace

std::span<const Attack> race_attacks() { return kAttacks; }

}  // namespace probe
