// Other processes, limits, what was inherited, and terminals.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/battery/battery.h"

namespace battery {
namespace {

pid_t number(const std::string& text) { return static_cast<pid_t>(std::atol(text.c_str())); }

pid_t paused_child() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(5);
    for (;;) ::pause();
  }
  return pid;
}

bool traces_child(const Host&) {
  const pid_t child = paused_child();
  const bool open = ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0;
  const int error = errno;
  ::kill(child, SIGKILL);
  errno = error;
  return open;
}
bool traces_init(const Host&) { return ::ptrace(PTRACE_SEIZE, 1, nullptr, nullptr) == 0; }
bool traces_host(const Host& host) {
  return ::ptrace(PTRACE_SEIZE, number(host.pid), nullptr, nullptr) == 0;
}
bool reads_memory(pid_t pid) {
  char byte = 0;
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(4096), 1};
  return ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1 || errno == EFAULT;
}
bool reads_child(const Host&) {
  const pid_t child = paused_child();
  const bool open = reads_memory(child);
  const int error = errno;
  ::kill(child, SIGKILL);
  errno = error;
  return open;
}
bool reads_init(const Host&) { return reads_memory(1); }
bool takes_descriptor(const Host&) {
  const pid_t child = paused_child();
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  const bool open = pidfd >= 0 && ::syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0;
  const int error = errno;
  ::kill(child, SIGKILL);
  errno = error;
  return open;
}
bool compares(const Host&) { return ::syscall(SYS_kcmp, ::getpid(), ::getppid(), 0, 0, 0) >= 0; }
bool signals_host(const Host& host) { return ::kill(number(host.pid), 0) == 0; }
bool sees_host(const Host& host) {
  return ::access(("/proc/" + host.pid + "/comm").c_str(), F_OK) == 0;
}
bool reads_file(const char* path) {
  char byte = 0;
  const int fd = ::open(path, O_RDONLY);
  if (fd < 0) return false;
  errno = ENODATA;
  return ::read(fd, &byte, 1) == 1;
}
bool reads_init_environment(const Host&) { return reads_file("/proc/1/environ"); }
bool enters_init_root(const Host&) { return ::open("/proc/1/root/.", O_RDONLY) >= 0; }
bool lists_init_descriptors(const Host&) { return ::opendir("/proc/1/fd") != nullptr; }
bool limits_init(const Host&) {
  rlimit now{};
  return ::syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, nullptr, &now) == 0 &&
         ::syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, &now, nullptr) == 0;
}
bool runs_in_real_time(const Host&) {
  sched_param one{};
  one.sched_priority = 1;
  return ::sched_setscheduler(0, SCHED_FIFO, &one) == 0;
}
bool gains_priority(const Host&) { return ::setpriority(PRIO_PROCESS, 0, -1) == 0; }
bool spares_itself_from_oom(const Host&) {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY);
  return fd >= 0 && ::write(fd, "-1", 2) == 2;
}

// --- limits --------------------------------------------------------------------------------------

bool forks(int most) {
  std::vector<pid_t> children;
  int error = 0;
  while (error == 0 && static_cast<int>(children.size()) < most) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) ::pause();
    }
    if (pid < 0) error = errno;
    if (pid > 0) children.push_back(pid);
  }
  for (const pid_t pid : children) ::kill(pid, SIGKILL);
  for (const pid_t pid : children) ::waitpid(pid, nullptr, 0);
  errno = error;
  return error == 0;
}
bool forks_600(const Host&) { return forks(600); }
bool forks_1500(const Host&) { return forks(1500); }
bool has_files_without_limit(const Host&) {
  struct statvfs room {};
  if (::statvfs("/tmp", &room) != 0) return false;
  errno = ENOSPC;
  return room.f_files == 0 || room.f_files > (1U << 21);
}
bool has_memory_files_without_limit(const Host&) {
  struct statvfs room {};
  if (::statvfs("/dev/shm", &room) != 0) return false;
  errno = ENOSPC;
  return room.f_blocks == 0 || room.f_blocks * room.f_frsize > (5UL << 30);
}
bool dumps_core(const Host&) {
  rlimit now{};
  ::getrlimit(RLIMIT_CORE, &now);
  errno = EFBIG;
  return now.rlim_max > 0;
}
bool makes_segments(const Host&) { return ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) >= 0; }
bool makes_queues(const Host&) {
  return ::syscall(SYS_mq_open, "battery", 0102, 0600, nullptr) >= 0;
}
bool makes_watches(const Host&) { return ::inotify_init1(0) >= 0; }

// --- what was inherited --------------------------------------------------------------------------

bool has_more_descriptors(const Host&) {
  for (int fd = 3; fd < 1000; ++fd) {
    // The pipe of this probe's own answer is the one that is expected.
    if (::fcntl(fd, F_GETFD) >= 0 && fd > 4) return true;
  }
  errno = EBADF;
  return false;
}
bool has_secrets_in_environment(const Host&) {
  errno = ENOENT;
  return ::getenv("OQTO_BATTERY_SECRET") != nullptr;
}
bool may_gain_privileges(const Host&) {
  errno = EPERM;
  return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0;
}
bool has_capabilities(const Host&) {
  unsigned header[2] = {0x20080522, 0}, data[6] = {};
  if (::syscall(SYS_capget, header, data) != 0) return false;
  errno = EPERM;
  return (data[0] | data[3]) != 0;
}
// /usr belongs to the host's root: who looks like its owner is root there, whatever it is called.
bool is_root_outside(const Host&) {
  struct stat usr {};
  if (::stat("/usr", &usr) != 0) return false;
  errno = EPERM;
  return usr.st_uid == ::getuid();
}

// --- terminals -----------------------------------------------------------------------------------

bool on_own_terminal(unsigned long request, void* argument) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  int unlock = 0, index = 0;
  if (master < 0 || ::ioctl(master, TIOCSPTLCK, &unlock) != 0 ||
      ::ioctl(master, TIOCGPTN, &index) != 0) {
    return false;
  }
  ::setsid();
  const int slave = ::open(("/dev/pts/" + std::to_string(index)).c_str(), O_RDWR);
  (void)::ioctl(slave, TIOCSCTTY, 0);
  return ::syscall(SYS_ioctl, slave, request, argument) == 0;
}
char typed[2] = {'x', 0};
bool types(const Host&) { return on_own_terminal(0x5412, typed); }
bool types_with_high_bits(const Host&) { return on_own_terminal(0x100005412, typed); }
bool pastes(const Host&) {
  return on_own_terminal(0x541c, typed) || (errno != EPERM && errno != EACCES);
}
bool loads_discipline(const Host&) {
  int none = 0;
  return on_own_terminal(0x5423, &none);
}
bool opens_terminal(const Host&) { return ::posix_openpt(O_RDWR | O_NOCTTY) >= 0; }

constexpr Probe kProbes[] = {
    {"ptrace-child", traces_child},
    {"ptrace-init", traces_init},
    {"ptrace-host", traces_host},
    {"memory-of-child", reads_child},
    {"memory-of-init", reads_init},
    {"pidfd-getfd", takes_descriptor},
    {"kcmp", compares},
    {"signal-host", signals_host},
    {"see-host-processes", sees_host},
    {"init-environ", reads_init_environment},
    {"init-root", enters_init_root},
    {"init-descriptors", lists_init_descriptors},
    {"init-limits", limits_init},
    {"realtime", runs_in_real_time},
    {"nice-negative", gains_priority},
    {"oom-score", spares_itself_from_oom},
    {"fork-600", forks_600},
    {"fork-1500", forks_1500},
    {"tmp-inodes-unbounded", has_files_without_limit},
    {"shm-unbounded", has_memory_files_without_limit},
    {"core-dumps", dumps_core},
    {"sysv-shm", makes_segments},
    {"posix-queues", makes_queues},
    {"inotify", makes_watches},
    {"inherited-descriptors", has_more_descriptors},
    {"inherited-secrets", has_secrets_in_environment},
    {"new-privileges", may_gain_privileges},
    {"capabilities", has_capabilities},
    {"root-of-the-host", is_root_outside},
    {"tiocsti", types},
    {"tiocsti-high-bits", types_with_high_bits},
    {"tioclinux", pastes},
    {"line-discipline", loads_discipline},
    {"pty", opens_terminal},
};

}  // namespace

std::span<const Probe> process_probes() { return kProbes; }

}  // namespace battery
