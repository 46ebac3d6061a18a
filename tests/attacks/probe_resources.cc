// Attacks that use something up.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

int fill(const Words& a) {  // PATH BYTES
  const long bytes = number(a[1]);
  const int fd = ::open(a[0].c_str(), O_WRONLY | O_CREAT, 0600);
  const std::vector<char> block(1 << 20, 'x');
  long done = 0;
  while (fd >= 0 && done < bytes) {
    const ssize_t n = ::write(fd, block.data(), block.size());
    if (n <= 0) break;
    done += n;
  }
  const int error = errno;
  if (fd >= 0) ::unlink(a[0].c_str());
  errno = error;
  return verdict(done >= bytes);
}

int make_sparse(const Words& a) {  // PATH BYTES; without the signal, which would end the probe
  ::signal(SIGXFSZ, SIG_IGN);
  const int fd = ::open(a[0].c_str(), O_WRONLY | O_CREAT, 0600);
  const bool open = fd >= 0 && ::ftruncate(fd, number(a[1])) == 0;
  const int error = errno;
  ::unlink(a[0].c_str());
  errno = error;
  return verdict(open);
}

int allocate(const Words& a) {
  ::signal(SIGXFSZ, SIG_IGN);
  const int fd = ::open(a[0].c_str(), O_WRONLY | O_CREAT, 0600);
  const bool open = fd >= 0 && ::fallocate(fd, 0, 0, number(a[1])) == 0;
  const int error = errno;
  ::unlink(a[0].c_str());
  errno = error;
  return verdict(open);
}

int many_files(const Words& a) {  // DIRECTORY COUNT
  for (long i = 0; i < number(a[1]); ++i) {
    const int fd = ::open((a[0] + "/f" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT, 0600);
    if (fd < 0) return verdict(false);
    ::close(fd);
  }
  return verdict(true);
}

int fork_bomb(const Words& a) {
  std::vector<pid_t> children;
  bool all = true;
  while (all && static_cast<long>(children.size()) < number(a[0])) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    if (pid < 0) {
      all = false;
    } else {
      children.push_back(pid);
    }
  }
  const int error = errno;
  for (const pid_t pid : children) ::kill(pid, SIGKILL);
  for (const pid_t pid : children) ::waitpid(pid, nullptr, 0);
  errno = error;
  return verdict(all);
}

int many_descriptors(const Words& a) {  // after asking for more than there are
  const rlim_t wanted = static_cast<rlim_t>(number(a[0]));
  const rlimit more{wanted + 16, wanted + 16};
  (void)::setrlimit(RLIMIT_NOFILE, &more);
  for (rlim_t i = 0; i < wanted; ++i) {
    if (::dup(0) < 0) return verdict(false);
  }
  return verdict(true);
}

// BYTES in buffers that no file system's limit covers.
int fill_pipes(const Words& a) {
  constexpr int kEach = 1 << 20;
  long done = 0;
  int error = 0;
  const std::vector<char> block(4096, 'x');
  while (error == 0 && done < number(a[0])) {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK) != 0 || ::fcntl(ends[1], F_SETPIPE_SZ, kEach) < 0) error = errno;
    while (error == 0) {
      const ssize_t n = ::write(ends[1], block.data(), block.size());
      if (n <= 0) break;
      done += n;
    }
  }
  errno = error;
  return verdict(error == 0);
}

int many_watchers(const Words& a) {
  for (long i = 0; i < number(a[0]); ++i) {
    if (::inotify_init1(0) < 0) return verdict(false);
  }
  if (a[1] == "hold") hold();
  return verdict(true);
}

int exhaust_watchers(const Words&) {  // all that the uid may have, and stays
  while (::inotify_init1(0) >= 0) {
  }
  hold();
}

int many_terminals(const Words& a) {  // each process of this has as many files as it may
  for (long i = 0; i < number(a[0]); ++i) {
    if (::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0) return verdict(false);
  }
  return verdict(true);
}

int many_namespaces(const Words& a) {  // each kept by a process of its own
  std::vector<pid_t> keepers;
  int error = 0;
  for (long i = 0; error == 0 && i < number(a[0]); ++i) {
    int ends[2];
    if (::pipe(ends) != 0) return verdict(false);
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int why = ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
      (void)!::write(ends[1], &why, sizeof why);
      for (;;) ::pause();
    }
    (void)!::read(ends[0], &error, sizeof error);
    keepers.push_back(pid);
  }
  for (const pid_t pid : keepers) ::kill(pid, SIGKILL);
  for (const pid_t pid : keepers) ::waitpid(pid, nullptr, 0);
  errno = error;
  return verdict(error == 0);
}

// As much as the other end of standard output takes, and how much that was.
int flood(const Words&) {
  const int flags = ::fcntl(1, F_GETFL);
  (void)::fcntl(1, F_SETFL, flags | O_NONBLOCK);
  const std::vector<char> block(65536, 'x');
  long done = 0;
  for (int idle = 0; idle < 50 && done < (64L << 20);) {
    const ssize_t n = ::write(1, block.data(), block.size());
    if (n > 0) {
      done += n;
      idle = 0;
    } else {
      ++idle;
      ::usleep(2000);
    }
  }
  std::FILE* file = std::fopen("/workspace/flooded", "w");
  if (file != nullptr) std::fprintf(file, "%ld\n", done);
  if (file != nullptr) std::fclose(file);
  return 0;
}

int raise_limit(const Words& a) {  // RESOURCE
  const auto resource = static_cast<__rlimit_resource>(number(a[0]));
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return verdict(false);
  if (now.rlim_max == RLIM_INFINITY) return verdict(true);
  const rlimit more{now.rlim_max + 1, now.rlim_max + 1};
  return verdict(::setrlimit(resource, &more) == 0);
}

constexpr Attack kAttacks[] = {
    {"fill", fill},
    {"sparse", make_sparse},
    {"allocate", allocate},
    {"files", many_files},
    {"fork-bomb", fork_bomb},
    {"many-descriptors", many_descriptors},
    {"fill-pipes", fill_pipes},
    {"watchers", many_watchers},
    {"exhaust-watchers", exhaust_watchers},
    {"terminals", many_terminals},
    {"many-namespaces", many_namespaces},
    {"flood", flood},
    {"raise-limit", raise_limit},
};

}  // namespace

std::span<const Attack> resource_attacks() { return kAttacks; }

}  // namespace probe
