#include "policies/session_syscalls.h"

namespace oqto::policies {
namespace {

using Name = std::string_view;

// clang-format off: one name per line would hide the groups.

constexpr Name kAllowed[] = {
    // What Pi, shells, compilers, package managers and git were seen to call.
    "accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "cachestat", "capget",
    "chdir", "chmod", "chown", "clock_getres", "clock_gettime", "clock_nanosleep", "clone", "close",
    "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "execve", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate",
    "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync",
    "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
    "ftruncate", "futex", "futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_mempolicy",
    "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups",
    "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
    "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "getsockname",
    "getsockopt", "gettid", "gettimeofday", "getuid", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "kill", "lchown", "lgetxattr",
    "link", "linkat", "listen", "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr",
    "lstat", "madvise", "membarrier", "mincore", "mkdir", "mkdirat", "mknodat", "mlock", "mlock2",
    "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "nanosleep", "newfstatat", "openat",
    "pause", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "prctl",
    "pread64", "preadv", "preadv2", "prlimit64", "pselect6", "pwrite64", "pwritev", "pwritev2",
    "read", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "removexattr",
    "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_yield",
    "select", "sendfile", "sendmmsg", "sendmsg", "sendto", "set_mempolicy", "set_robust_list",
    "set_tid_address", "setfsgid", "setfsuid", "setitimer", "setpgid", "setpriority", "setresgid",
    "setresuid", "setrlimit", "setsid", "setsockopt", "setxattr", "shutdown", "sigaltstack",
    "signalfd4", "socket", "socketpair", "splice", "stat", "statfs", "statx", "symlink",
    "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time",
    "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "truncate", "umask", "uname",
    "unlink", "unlinkat", "utime", "utimensat", "utimes", "vfork", "wait4", "waitid", "write",
    "writev",
    // The same families in their other spellings, and what runtimes other than the observed ones
    // use.
    "execveat", "open", "openat2", "mknod", "fork", "tkill", "get_robust_list", "rt_tgsigqueueinfo",
    "setuid", "setgid", "setreuid", "setregid", "capset", "pidfd_open", "pidfd_send_signal",
    "mlockall", "munlockall", "mbind", "ioprio_get", "ioprio_set", "readahead", "vmsplice",
    "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_rr_get_interval",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "signalfd",
    // System V IPC, in the session's own namespace: databases in test suites.
    "semget", "semop", "semctl", "semtimedop", "shmget", "shmat", "shmctl", "shmdt", "msgget",
    "msgsnd", "msgrcv", "msgctl",
};

constexpr Name kRefused[] = {
    // New namespaces, mounts and roots.
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount",
    "fspick", "open_tree", "move_mount", "mount_setattr",
    // Other processes' memory, descriptors and identity.
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
    "process_mrelease", "migrate_pages", "move_pages",
    // Kernel interfaces with a history.
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "seccomp",
    "fanotify_init", "open_by_handle_at", "name_to_handle_at", "lookup_dcookie", "modify_ldt",
    "quotactl", "quotactl_fd",
    // The host.
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "syslog", "swapon", "swapoff", "acct", "iopl", "ioperm", "sethostname", "setdomainname",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "vhangup", "setgroups",
};

// A file that exists only in memory can be executed whatever Landlock says about paths.
constexpr Name kOwnCode[] = {"memfd_create"};

constexpr Name kLauncher[] = {
    // Its channels, its loop, and the notification descriptor (requests: filter_gen.cc).
    "read", "readv", "write", "recvmsg", "sendmsg", "poll", "ppoll", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "close", "fcntl", "ioctl", "lseek",
    // Watching: the caller's memory is read, never written.
    "process_vm_readv", "ptrace", "wait4", "openat", "readlinkat", "fstat", "newfstatat",
    "pidfd_send_signal", "kill",
    // libc.
    "clock_gettime", "brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "exit", "exit_group",
    "rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "getpid", "gettid", "tgkill",
    "restart_syscall", "futex", "getrandom",
};

// clang-format on

}  // namespace

std::span<const std::string_view> session_allowed() {
  return kAllowed;
}
std::span<const std::string_view> session_refused() {
  return kRefused;
}
std::span<const std::string_view> session_own_code() {
  return kOwnCode;
}
std::span<const std::string_view> launcher_allowed() {
  return kLauncher;
}

}  // namespace oqto::policies
