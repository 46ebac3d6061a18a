#include "policies/session_syscalls.h"

#include <algorithm>
#include <cerrno>

namespace oqto::policies {
namespace {

using Name = std::string_view;

// clang-format off: one name per line would hide the groups.

// --- allowed -----------------------------------------------------------------------------------

constexpr Name kFileIo[] = {"read",
                            "write",
                            "readv",
                            "writev",
                            "pread64",
                            "pwrite64",
                            "preadv",
                            "pwritev",
                            "preadv2",
                            "pwritev2",
                            "open",
                            "openat",
                            "creat",
                            "close",
                            "close_range",
                            "lseek",
                            "dup",
                            "dup2",
                            "dup3",
                            "fcntl",
                            "flock",
                            "ftruncate",
                            "truncate",
                            "fallocate",
                            "fsync",
                            "fdatasync",
                            "sync",
                            "syncfs",
                            "sync_file_range",
                            "fadvise64",
                            "readahead",
                            "sendfile",
                            "splice",
                            "tee",
                            "vmsplice",
                            "copy_file_range",
                            "ioctl",
                            "cachestat",
                            "umask"};

constexpr Name kDirectories[] = {
    "getdents", "getdents64", "getcwd",    "chdir",     "fchdir",     "mkdir",  "mkdirat",
    "rmdir",    "rename",     "renameat",  "renameat2", "link",       "linkat", "unlink",
    "unlinkat", "symlink",    "symlinkat", "readlink",  "readlinkat", "mknod",  "mknodat"};

constexpr Name kMetadata[] = {
    "stat",       "lstat",       "fstat",        "newfstatat",  "statx",     "statfs",
    "fstatfs",    "access",      "faccessat",    "faccessat2",  "chmod",     "fchmod",
    "fchmodat",   "fchmodat2",   "chown",        "fchown",      "lchown",    "fchownat",
    "utime",      "utimes",      "futimesat",    "utimensat",   "getxattr",  "lgetxattr",
    "fgetxattr",  "setxattr",    "lsetxattr",    "fsetxattr",   "listxattr", "llistxattr",
    "flistxattr", "removexattr", "lremovexattr", "fremovexattr"};

constexpr Name kMemory[] = {"brk",           "mmap",       "mprotect",        "munmap",
                            "mremap",        "msync",      "madvise",         "mincore",
                            "mlock",         "mlock2",     "munlock",         "mlockall",
                            "munlockall",    "membarrier", "pkey_alloc",      "pkey_free",
                            "pkey_mprotect", "mseal",      "map_shadow_stack"};

constexpr Name kNuma[] = {"get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "mbind"};

constexpr Name kThreads[] = {"futex",
                             "futex_wait",
                             "futex_wake",
                             "futex_waitv",
                             "futex_requeue",
                             "set_robust_list",
                             "get_robust_list",
                             "set_tid_address",
                             "rseq",
                             "gettid",
                             "sched_yield",
                             "sched_getaffinity",
                             "sched_setaffinity",
                             "sched_getattr",
                             "sched_setattr",
                             "sched_getparam",
                             "sched_setparam",
                             "sched_getscheduler",
                             "sched_setscheduler",
                             "sched_get_priority_max",
                             "sched_get_priority_min",
                             "sched_rr_get_interval",
                             "arch_prctl",
                             "getcpu"};

constexpr Name kProcesses[] = {
    "clone",      "fork",        "vfork",       "execve",     "execveat",   "exit",
    "exit_group", "wait4",       "waitid",      "getpid",     "getppid",    "getpgid",
    "setpgid",    "getpgrp",     "getsid",      "setsid",     "prctl",      "personality",
    "pidfd_open", "getpriority", "setpriority", "ioprio_get", "ioprio_set", "getrlimit",
    "setrlimit",  "prlimit64",   "getrusage",   "times"};

constexpr Name kSignals[] = {"kill",
                             "tkill",
                             "tgkill",
                             "pidfd_send_signal",
                             "rt_sigaction",
                             "rt_sigpending",
                             "rt_sigprocmask",
                             "rt_sigqueueinfo",
                             "rt_tgsigqueueinfo",
                             "rt_sigreturn",
                             "rt_sigsuspend",
                             "rt_sigtimedwait",
                             "sigaltstack",
                             "pause",
                             "restart_syscall"};

constexpr Name kTime[] = {"time",          "gettimeofday",    "clock_gettime",
                          "clock_getres",  "clock_nanosleep", "nanosleep",
                          "alarm",         "getitimer",       "setitimer",
                          "timer_create",  "timer_delete",    "timer_getoverrun",
                          "timer_gettime", "timer_settime"};

constexpr Name kSockets[] = {"socket",     "socketpair", "bind",     "listen",      "accept",
                             "accept4",    "connect",    "shutdown", "getsockname", "getpeername",
                             "getsockopt", "setsockopt", "sendto",   "recvfrom",    "sendmsg",
                             "recvmsg",    "sendmmsg",   "recvmmsg"};

constexpr Name kEvents[] = {"poll",
                            "ppoll",
                            "select",
                            "pselect6",
                            "epoll_create",
                            "epoll_create1",
                            "epoll_ctl",
                            "epoll_wait",
                            "epoll_pwait",
                            "epoll_pwait2",
                            "eventfd",
                            "eventfd2",
                            "signalfd",
                            "signalfd4",
                            "timerfd_create",
                            "timerfd_settime",
                            "timerfd_gettime",
                            "inotify_init",
                            "inotify_init1",
                            "inotify_add_watch",
                            "inotify_rm_watch",
                            "pipe",
                            "pipe2"};

constexpr Name kIdentity[] = {"getuid",    "geteuid",   "getgid",   "getegid",   "getresuid",
                              "getresgid", "getgroups", "capget",   "capset",    "setuid",
                              "setgid",    "setreuid",  "setregid", "setresuid", "setresgid",
                              "setfsuid",  "setfsgid"};

constexpr Name kSystem[] = {"uname", "sysinfo", "getrandom"};

constexpr Name kLandlock[] = {"landlock_create_ruleset", "landlock_add_rule",
                              "landlock_restrict_self"};

constexpr Name kSysvIpc[] = {"semget", "semop", "semctl", "semtimedop", "shmget", "shmat",
                             "shmctl", "shmdt", "msgget", "msgsnd",     "msgrcv", "msgctl"};

constexpr Name kMemfd[] = {"memfd_create"};

// --- probed: answered without a word -----------------------------------------------------------

constexpr Name kHiddenArguments[] = {"clone3", "openat2"};

constexpr Name kIoUring[] = {"io_uring_setup", "io_uring_enter", "io_uring_register"};

constexpr Name kNewer[] = {"setxattrat",        "getxattrat",        "listxattrat",
                           "removexattrat",     "file_getattr",      "file_setattr",
                           "statmount",         "listmount",         "listns",
                           "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules"};

constexpr Name kAio[] = {"io_setup",      "io_destroy", "io_getevents",
                         "io_pgetevents", "io_submit",  "io_cancel"};

constexpr Name kRemoved[] = {
    "uselib",          "_sysctl", "create_module", "get_kernel_syms", "query_module",
    "nfsservctl",      "getpmsg", "putpmsg",       "afs_syscall",     "tuxcall",
    "security",        "vserver", "epoll_ctl_old", "epoll_wait_old",  "set_thread_area",
    "get_thread_area", "ustat",   "sysfs",         "remap_file_pages"};

// --- refused, and recorded ---------------------------------------------------------------------

constexpr Name kNamespaces[] = {
    "unshare",  "setns",   "mount",  "umount2",   "pivot_root",     "chroot",     "fsopen",
    "fsconfig", "fsmount", "fspick", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"};

constexpr Name kOtherProcesses[] = {
    "ptrace",          "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp",
    "process_madvise", "process_mrelease", "migrate_pages",     "move_pages"};

constexpr Name kKernel[] = {"bpf",     "perf_event_open", "userfaultfd",   "modify_ldt",
                            "seccomp", "memfd_secret",    "lookup_dcookie"};

constexpr Name kKeys[] = {"add_key", "request_key", "keyctl"};

constexpr Name kFileHandles[] = {"open_by_handle_at", "name_to_handle_at", "fanotify_init",
                                 "fanotify_mark",     "quotactl",          "quotactl_fd"};

constexpr Name kMessageQueues[] = {"mq_open",         "mq_unlink", "mq_timedsend",
                                   "mq_timedreceive", "mq_notify", "mq_getsetattr"};

constexpr Name kHost[] = {"init_module",     "finit_module",  "delete_module", "kexec_load",
                          "kexec_file_load", "reboot",        "syslog",        "swapon",
                          "swapoff",         "acct",          "iopl",          "ioperm",
                          "sethostname",     "setdomainname", "settimeofday",  "clock_settime",
                          "clock_adjtime",   "adjtimex",      "vhangup",       "setgroups"};

// --- the launcher ------------------------------------------------------------------------------

constexpr Name kLauncher[] = {
    // Its channels, its loop, and the notification descriptor (requests: sandbox/monitor/filter_gen.cc).
    "read",
    "readv",
    "write",
    "recvmsg",
    "sendmsg",
    "poll",
    "ppoll",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "close",
    "fcntl",
    "ioctl",
    "lseek",
    // Watching: the caller's memory is read, never written.
    "process_vm_readv",
    "ptrace",
    "wait4",
    "openat",
    "readlinkat",
    "getdents64",
    "fstat",
    "newfstatat",
    "pidfd_open",
    "pidfd_send_signal",
    "kill",
    "tgkill",  // with no signal: whether a thread is the first one of its process
    // What changes in the workspace.
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    // The copy of a file that the session's user let a program read.
    "memfd_create",
    // libc.
    "clock_gettime",
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "madvise",
    "mprotect",
    "exit",
    "exit_group",
    "rt_sigreturn",
    "rt_sigprocmask",
    "rt_sigaction",
    "getpid",
    "gettid",
    "tgkill",
    "restart_syscall",
    "futex",
    "getrandom",
};

// clang-format on

constexpr CallSet allow(Name name, Name reason, std::span<const Name> calls) {
  return {name, CallVerdict::allowed, 0, false, reason, calls};
}
constexpr CallSet allow_own(Name name, Name reason, std::span<const Name> calls) {
  return {name, CallVerdict::allowed, EPERM, true, reason, calls};
}
constexpr CallSet probed(Name name, Name reason, std::span<const Name> calls) {
  return {name, CallVerdict::probed, ENOSYS, false, reason, calls};
}
constexpr CallSet refuse(Name name, int error, Name reason, std::span<const Name> calls) {
  return {name, CallVerdict::refused, error, false, reason, calls};
}

constexpr CallSet kSets[] = {
    allow("file-io", "bytes of files; which files is decided by mounts and Landlock", kFileIo),
    allow("directories", "names in directories, within what is mounted", kDirectories),
    allow("metadata", "modes, owners, times and attributes of files", kMetadata),
    allow("memory", "a process's own memory; JIT compilers need executable pages", kMemory),
    allow("threads", "what libc and language runtimes build threads from", kThreads),
    allow("processes", "starting and waiting for programs; every exec is recorded", kProcesses),
    allow("signals", "to processes of the session only: it has its own pid namespace", kSignals),
    allow("time", "reading clocks and sleeping", kTime),
    allow("sockets", "in the session's own network namespace; families are restricted", kSockets),
    allow("events", "waiting for descriptors, pipes and file changes", kEvents),
    allow("identity", "asking who one is; there is only one user to become", kIdentity),
    allow("system", "random numbers, and the kernel's name and size", kSystem),
    allow("landlock", "can only narrow what the caller may do", kLandlock),
    allow_own("numa", "memory placement, which numeric libraries ask for", kNuma),
    allow_own("sysv-ipc", "databases in test suites; in the session's own ipc namespace", kSysvIpc),
    allow("memfd", "files in memory; where own programs may not run, only ones that cannot either",
          kMemfd),

    probed("hidden-arguments",
           "their arguments are in memory, where a filter cannot see them; libraries fall back to "
           "clone and openat",
           kHiddenArguments),
    probed("io-uring", "does what other calls do, past every filter; libraries fall back",
           kIoUring),
    probed("newer", "calls of newer kernels that libraries try first", kNewer),
    probed("aio", "the kernel's old asynchronous file interface; libraries fall back", kAio),
    probed("removed", "no kernel of today implements them", kRemoved),

    refuse("namespaces", EPERM, "new namespaces, mounts and roots: the way to more kernel",
           kNamespaces),
    refuse("other-processes", EPERM, "other processes' memory and descriptors", kOtherProcesses),
    refuse("kernel", EPERM, "interfaces into the kernel with a history of exploits", kKernel),
    refuse("keys", EPERM, "key rings belong to a user of the host, not to a namespace", kKeys),
    refuse("file-handles", EPERM, "files without a path, past mounts and Landlock", kFileHandles),
    refuse("message-queues", ENOSYS, "POSIX message queues: hardly used, and more kernel",
           kMessageQueues),
    refuse("host", EPERM, "the host itself", kHost),
};

}  // namespace

std::string_view verdict_name(CallVerdict verdict) {
  switch (verdict) {
    case CallVerdict::allowed:
      return "allowed";
    case CallVerdict::refused:
      return "refused";
    case CallVerdict::probed:
      return "probed";
  }
  return "refused";
}

std::span<const CallSet> call_sets() {
  return kSets;
}

std::span<const std::string_view> launcher_allowed() {
  return kLauncher;
}

CallDescription describe_syscall(std::string_view name, bool run_own_programs) {
  for (const CallSet& set : kSets) {
    if (std::ranges::find(set.calls, name) == set.calls.end()) continue;
    if (set.own_only && !run_own_programs) {
      return {CallVerdict::refused, set.error, set.name, set.reason, false};
    }
    const bool has_rules = std::ranges::any_of(argument_rules(), [&](const ArgumentRule& each) {
      return each.applies(name, run_own_programs);
    });
    const bool allowed = set.verdict == CallVerdict::allowed;
    return {set.verdict, allowed ? 0 : set.error, set.name, set.reason, allowed && has_rules};
  }
  return {CallVerdict::refused, ENOSYS, "unlisted", "not a call that sessions are known to need",
          false};
}

}  // namespace oqto::policies
