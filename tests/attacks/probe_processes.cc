// Attacks on other processes.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

std::string in_proc(const std::string& pid, const char* name) { return "/proc/" + pid + "/" + name; }

int write_memory(const Words& a) {
  const int mem = ::open(in_proc(a[0], "mem").c_str(), O_RDWR);
  if (mem < 0) return verdict(false);
  std::FILE* maps = std::fopen(in_proc(a[0], "maps").c_str(), "r");
  unsigned long address = 0;
  if (maps == nullptr || std::fscanf(maps, "%lx", &address) != 1) return verdict(false);
  char byte = 0;
  const auto at = static_cast<off_t>(address);
  return verdict(::pread(mem, &byte, 1, at) == 1 && ::pwrite(mem, &byte, 1, at) == 1);
}

int attach(const Words& a) {
  return verdict(::ptrace(PTRACE_SEIZE, process(a[0]), nullptr, nullptr) == 0);
}

// Even a child of one's own: what debuggers and strace do, and what could suspend a filter.
int trace_child(const Words&) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const bool open = ::ptrace(PTRACE_SEIZE, child, nullptr, PTRACE_O_SUSPEND_SECCOMP) == 0 ||
                    ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0;
  const int error = errno;
  ::kill(child, SIGKILL);
  errno = error;
  return verdict(open);
}

// Any address will do: EFAULT already means permission.
int transfer(long call, pid_t pid) {
  char byte = 0;
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(4096), 1};
  return verdict(::syscall(call, pid, &local, 1, &remote, 1, 0) == 1 || errno == EFAULT);
}
int read_memory(const Words& a) { return transfer(SYS_process_vm_readv, process(a[0])); }
int overwrite_memory(const Words& a) { return transfer(SYS_process_vm_writev, process(a[0])); }

int take_descriptor(const Words& a) {
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process(a[0]), 0));
  return verdict(pidfd >= 0 && ::syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0);
}

int signal_by_pidfd(const Words& a) {
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process(a[0]), 0));
  return verdict(pidfd >= 0 && ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0);
}

int compare(const Words& a) {  // kcmp(KCMP_FILE), which checks permission first
  return verdict(::syscall(SYS_kcmp, ::getpid(), process(a[0]), 0, 0, 0) >= 0);
}

int look_into_descriptors(const Words& a) {
  return verdict(::opendir(in_proc(a[0], "fd").c_str()) != nullptr);
}

int read_proc(const Words& a) {  // environ, maps, mem, stack ...: PID NAME
  char byte = 0;
  const int fd = ::open(in_proc(a[0], a[1].c_str()).c_str(), O_RDONLY);
  if (fd < 0) return verdict(false);
  errno = ENODATA;  // an empty answer says nothing
  return verdict(::read(fd, &byte, 1) == 1);
}

int enter_root(const Words& a) {
  return verdict(::open(in_proc(a[0], "root/.").c_str(), O_RDONLY | O_DIRECTORY) >= 0);
}
int enter_cwd(const Words& a) {
  return verdict(::open(in_proc(a[0], "cwd/.").c_str(), O_RDONLY | O_DIRECTORY) >= 0);
}
int overwrite_program(const Words& a) {
  return verdict(::open(in_proc(a[0], "exe").c_str(), O_WRONLY) >= 0);
}
int write_proc(const Words& a) {
  return verdict(::open(in_proc(a[0], a[1].c_str()).c_str(), O_WRONLY) >= 0);
}

int starve(const Words& a) {
  rlimit now{};
  const pid_t pid = process(a[0]);
  if (::prlimit(pid, RLIMIT_NOFILE, nullptr, &now) != 0) return verdict(false);
  return verdict(::prlimit(pid, RLIMIT_NOFILE, &now, nullptr) == 0);
}

int slow_down(const Words& a) {
  return verdict(::setpriority(PRIO_PROCESS, static_cast<id_t>(number(a[0])), 19) == 0);
}

int send_signal(const Words& a) {  // PID [SIGNAL], 0 by default: only whether it may
  return verdict(::kill(process(a[0]), static_cast<int>(number(a[1]))) == 0);
}

// kill(-1): everything that the caller may signal. It must be the session at most.
int signal_all(const Words&) { return verdict(::kill(-1, SIGKILL) == 0 || errno == ESRCH); }

int see(const Words& a) {
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) return verdict(false);
  while (const dirent* entry = ::readdir(proc)) {
    std::FILE* comm = std::fopen((std::string("/proc/") + entry->d_name + "/comm").c_str(), "r");
    char found[64] = {};
    if (comm == nullptr) continue;
    const bool same = std::fscanf(comm, "%63s", found) == 1 && a[0] == found;
    std::fclose(comm);
    if (same) return verdict(true);
  }
  return closed(ENOENT);
}

int list_processes(const Words&) {
  DIR* proc = ::opendir("/proc");
  int seen = 0;
  while (const dirent* entry = proc == nullptr ? nullptr : ::readdir(proc)) {
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') ++seen;
  }
  std::printf("%d\n", seen);
  return 0;
}

int hold_as(const Words& a) {  // a process that others may look for
  ::prctl(PR_SET_NAME, a[0].c_str());
  hold();
}

constexpr Attack kAttacks[] = {
    {"write-memory", write_memory},
    {"ptrace", attach},
    {"ptrace-child", trace_child},
    {"read-memory", read_memory},
    {"overwrite-memory", overwrite_memory},
    {"pidfd-getfd", take_descriptor},
    {"pidfd-signal", signal_by_pidfd},
    {"kcmp", compare},
    {"proc-fd", look_into_descriptors},
    {"proc-read", read_proc},
    {"proc-write", write_proc},
    {"proc-root", enter_root},
    {"proc-cwd", enter_cwd},
    {"proc-exe", overwrite_program},
    {"prlimit", starve},
    {"setpriority", slow_down},
    {"signal", send_signal},
    {"signal-all", signal_all},
    {"see", see},
    {"processes", list_processes},
    {"hold", hold_as},
};

}  // namespace

std::span<const Attack> process_attacks() { return kAttacks; }

}  // namespace probe
