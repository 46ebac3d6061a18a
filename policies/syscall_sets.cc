#include "policies/syscall_sets.h"

#include <array>

namespace oqto::policies {
namespace {

using Names = std::string_view;

// Bytes on descriptors that exist already; no new ones but by SCM_RIGHTS, dup and epoll.
constexpr Names kIo[] = {"read",     "write",      "readv",         "writev",     "pread64",
                         "pwrite64", "recvmsg",    "sendmsg",       "recvfrom",   "sendto",
                         "close",    "shutdown",   "poll",          "ppoll",      "epoll_create1",
                         "epoll_ctl", "epoll_wait", "epoll_pwait",  "epoll_pwait2", "fcntl",
                         "fstat",    "lseek",      "eventfd2",      "signalfd4",  "timerfd_create",
                         "timerfd_settime", "getsockopt", "setsockopt", "getsockname", "getpeername",
                         "dup",      "pipe2",      "recvmmsg", "sendmmsg"};
// The allocator; PROT_EXEC is refused by an argument rule in seal().
constexpr Names kMemory[] = {"mmap", "munmap", "mremap", "brk", "madvise", "mprotect"};
constexpr Names kClock[] = {"clock_gettime", "gettimeofday", "clock_nanosleep", "nanosleep", "time",
                            "clock_getres", "times", "getrusage"};
// Ending, and what libc does around signals and restarts.
constexpr Names kExit[] = {"exit",         "exit_group",     "rt_sigreturn", "rt_sigaction",
                           "rt_sigprocmask", "sigaltstack",  "restart_syscall", "tgkill",
                           "getpid",       "gettid",         "getppid",      "getrandom",
                           "getuid",       "geteuid",        "getgid",       "getegid"};
// Threads of this process; fork and exec stay impossible (clone is checked for CLONE_THREAD).
constexpr Names kThreads[] = {"clone", "clone3", "futex", "set_robust_list", "rseq", "sched_yield",
                              "sched_getaffinity", "set_tid_address", "membarrier", "gettid",
                              "prctl", "sched_getparam", "sched_getscheduler", "get_robust_list"};
// Opening and reading files; which ones is Landlock's business.
constexpr Names kFilesRead[] = {"openat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat",
                                "faccessat2", "getdents64", "readlink", "readlinkat", "getcwd", "open",
                                "statfs", "fstatfs", "openat2", "fadvise64", "readahead"};
constexpr Names kFilesWrite[] = {"fsync",     "fdatasync", "ftruncate", "rename",   "renameat",
                                 "renameat2", "unlink",    "unlinkat",  "mkdir",    "mkdirat",
                                 "fchmod",    "fallocate", "flock",     "fchown",   "link",
                                 "linkat",    "chmod",     "umask",     "rmdir",    "sync_file_range",
                                 "utimensat", "copy_file_range"};
// Accepting on a listener that was handed in.
constexpr Names kAccept[] = {"accept4", "accept"};
// New unix sockets and pairs (gRPC makes its wake-up descriptors and channels so).
constexpr Names kUnixSockets[] = {"socketpair"};
constexpr Names kMemfd[] = {"memfd_create"};
// Calling out over TCP and UDP (names are resolved with UDP). Families are checked in seal().
constexpr Names kOutbound[] = {"socket", "connect", "bind", "listen", "accept4", "uname"};

struct Named {
  std::string_view name;
  std::span<const Names> calls;
};
constexpr auto kSets = std::to_array<Named>({{"io", kIo},
                                             {"memory", kMemory},
                                             {"clock", kClock},
                                             {"exit", kExit},
                                             {"threads", kThreads},
                                             {"files-read", kFilesRead},
                                             {"files-write", kFilesWrite},
                                             {"accept", kAccept},
                                             {"unix-sockets", kUnixSockets},
                                             {"memfd", kMemfd},
                                             {"outbound", kOutbound}});

}  // namespace

std::span<const std::string_view> syscall_set(std::string_view name) {
  for (const Named& set : kSets) {
    if (set.name == name) return set.calls;
  }
  return {};
}

}  // namespace oqto::policies
