// The programs that filter_gen has made: against the tables they were made from, and in the kernel.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "policies/session_syscalls.h"
#include "sandbox/monitor/test_monitored.h"

namespace oqto::sandbox {
namespace {

using policies::CallArguments;
using policies::CallVerdict;

// --- the program, interpreted ------------------------------------------------------------------

std::uint32_t word(const seccomp_data& data, std::uint32_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, reinterpret_cast<const char*>(&data) + offset, sizeof value);
  return value;
}

std::uint32_t interpret(Filter filter, const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < filter.size(); ++at) {
    const sock_filter& step = filter[at];
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = word(data, step.k);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= step.k;
        break;
      case BPF_JMP | BPF_JA:
        at += step.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += accumulator == step.k ? step.jt : step.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += accumulator >= step.k ? step.jt : step.jf;
        break;
      case BPF_RET | BPF_K:
        return step.k;
      default:
        ADD_FAILURE() << "unexpected code " << step.code;
        return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

std::uint32_t expected(const FilterKind& kind, int number, const CallArguments& arguments) {
  const std::string_view name = syscall_name(static_cast<std::uint32_t>(number));
  const bool exec = name == "execve" || name == "execveat";
  const bool open = name == "open" || name == "openat" || name == "creat";
  if ((exec && kind.notify_exec) || (open && kind.notify_open)) return SECCOMP_RET_USER_NOTIF;
  const auto judged = policies::judge_syscall(name, arguments, kind.run_own_programs);
  if (judged.verdict == CallVerdict::allowed) return SECCOMP_RET_ALLOW;
  if (judged.verdict == CallVerdict::refused) return SECCOMP_RET_USER_NOTIF;
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(judged.error);
}

TEST(SessionFilter, AnswersEveryCallAsTheTablesSay) {
  std::mt19937_64 random(1);  // NOLINT: the same sequence each time
  // Values near the ones that rules compare with, in either half.
  const std::uint64_t telling[] = {0,
                                   1,
                                   2,
                                   3,
                                   6,
                                   10,
                                   16,
                                   17,
                                   22,
                                   35,
                                   40,
                                   262,
                                   0x5412,
                                   0x541c,
                                   0x5423,
                                   0x10000000,
                                   0x40000,
                                   0xffffffff,
                                   04755,
                                   0100,
                                   020000000,
                                   0020644,
                                   0x8,
                                   CLONE_NEWUSER | 17,
                                   SOCK_STREAM | 02000000};
  std::uniform_int_distribution<std::size_t> pick(0, std::size(telling) - 1);
  for (unsigned bits = 0; bits < 8; ++bits) {
    const FilterKind kind{(bits & 4) != 0, (bits & 2) != 0, (bits & 1) != 0};
    const Filter filter = session_filter(kind);
    for (int number = 0; number < 600; ++number) {
      for (int round = 0; round < 60; ++round) {
        CallArguments arguments{};
        for (std::uint64_t& argument : arguments) {
          argument = telling[pick(random)];
          if (random() % 3 == 0) argument |= telling[pick(random)] << 32;
          if (random() % 8 == 0) argument = random();
        }
        seccomp_data data{};
        data.nr = number;
        data.arch = AUDIT_ARCH_X86_64;
        std::copy(arguments.begin(), arguments.end(), data.args);
        ASSERT_EQ(interpret(filter, data), expected(kind, number, arguments))
            << syscall_name(static_cast<std::uint32_t>(number)) << " kind " << bits;
      }
    }
  }
}

TEST(SessionFilter, KillsEveryOtherAbi) {
  for (const std::uint32_t number : {0U, 59U, 0x40000000U, 0x4000003bU, 0x80000000U, 0xffffffffU}) {
    for (const std::uint32_t arch : {AUDIT_ARCH_X86_64 + 0U, AUDIT_ARCH_I386 + 0U, 0U}) {
      if (arch == AUDIT_ARCH_X86_64 && number < 0x40000000U) continue;
      seccomp_data data{};
      data.nr = static_cast<int>(number);
      data.arch = arch;
      EXPECT_EQ(interpret(session_filter({}), data), SECCOMP_RET_KILL_PROCESS);
      EXPECT_EQ(interpret(launcher_filter(), data), SECCOMP_RET_KILL_PROCESS);
    }
  }
}

TEST(SessionFilter, EachCallIsInOneSetAndEachRuleIsReachable) {
  std::map<std::string_view, std::string_view> seen;
  for (const auto& set : policies::call_sets()) {
    EXPECT_FALSE(set.reason.empty()) << set.name;
    for (const std::string_view name : set.calls) {
      EXPECT_TRUE(seen.emplace(name, set.name).second) << name << " is in two sets";
      EXPECT_GE(syscall_number(name), 0) << name;
    }
  }
  for (const auto& rule : policies::argument_rules()) {
    EXPECT_EQ(policies::describe_syscall(rule.call, false).verdict, CallVerdict::allowed)
        << rule.name << " restricts a call that is refused anyway";
    EXPECT_NE(rule.error, 0);
  }
}

TEST(SessionFilter, NamesAndNumbersAgree) {
  EXPECT_EQ(syscall_name(SYS_openat), "openat");
  EXPECT_EQ(syscall_number("execveat"), SYS_execveat);
  EXPECT_EQ(syscall_number("cachestat"), 451);
  EXPECT_EQ(syscall_name(100'000), "");
  EXPECT_EQ(syscall_number(""), -1);
  EXPECT_EQ(syscall_number("openat3"), -1);
}

TEST(SessionFilter, DescribesACall) {
  const auto mount = policies::describe_syscall("mount", true);
  EXPECT_EQ(mount.verdict, CallVerdict::refused);
  EXPECT_EQ(mount.set, "namespaces");
  EXPECT_EQ(mount.error, EPERM);
  EXPECT_TRUE(policies::describe_syscall("ioctl", true).has_rules);
  EXPECT_EQ(policies::describe_syscall("clone3", true).verdict, CallVerdict::probed);
  EXPECT_EQ(policies::describe_syscall("shmget", true).verdict, CallVerdict::allowed);
  EXPECT_EQ(policies::describe_syscall("shmget", false).verdict, CallVerdict::refused);
  EXPECT_EQ(policies::describe_syscall("no_such_call", true).error, ENOSYS);
}

// --- in the kernel -----------------------------------------------------------------------------

constexpr std::uint64_t kHigh = 0xdeadbeef00000000;

struct Case {
  const char* what;
  long number;
  std::array<std::uint64_t, 6> arguments;
  int error;  // 0: whatever the kernel says, but none of ours
};

// Each call in a child with the filter and the real monitor; what differs from the expectation.
std::string mistakes(const FilterKind& kind, const std::vector<Case>& cases) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  Monitored monitored{.kind = kind};
  const int status = monitored.run([&] {
    for (const Case& each : cases) {
      const auto& a = each.arguments;
      errno = 0;
      const long result = ::syscall(each.number, a[0], a[1], a[2], a[3], a[4], a[5]);
      const int error = result == -1 ? errno : 0;
      const bool ours =
          error == EPERM || error == ENOSYS || error == EAFNOSUPPORT || error == EPROTONOSUPPORT;
      if (each.error != 0 ? error == each.error : !ours) continue;
      ::dprintf(ends[1], "%s: %s\n", each.what, ::strerrorname_np(error));
    }
    return 0;
  });
  ::close(ends[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], text.data(), 4096))));
  ::close(ends[0]);
  if (status != 0) text += "the child ended with status " + std::to_string(status);
  return text;
}

TEST(SessionFilter, RefusesDangerousArgumentsWhateverTheHighBits) {
  const std::uint64_t fd = 0, nothing = 0;
  std::vector<Case> cases;
  const auto both = [&cases](const char* what, long number, std::array<std::uint64_t, 6> arguments,
                             int error, std::initializer_list<std::size_t> ints) {
    cases.push_back({what, number, arguments, error});
    for (const std::size_t at : ints) arguments[at] |= kHigh;
    cases.push_back({what, number, arguments, error});
  };
  both("TIOCSTI", SYS_ioctl, {fd, TIOCSTI, nothing}, EPERM, {0, 1});
  both("TIOCLINUX", SYS_ioctl, {fd, TIOCLINUX, nothing}, EPERM, {0, 1});
  both("TIOCSETD", SYS_ioctl, {fd, TIOCSETD, nothing}, EPERM, {0, 1});
  both("SIOCBRADDBR", SYS_ioctl, {fd, 0x89a0, nothing}, EPERM, {0, 1});
  both("SIOCGIFVLAN", SYS_ioctl, {fd, 0x8982, nothing}, EPERM, {0, 1});
  both("SIOCGIFCONF", SYS_ioctl, {fd, 0x8912, nothing}, 0, {0, 1});
  both("BTRFS_IOC_SNAP_CREATE_V2", SYS_ioctl, {fd, 0x50009417, nothing}, EPERM, {0, 1});
  both("FICLONE", SYS_ioctl, {fd, 0x40049409, nothing}, 0, {0, 1});
  both("SO_ATTACH_FILTER", SYS_setsockopt, {fd, 1, 26, nothing, 0}, EPERM, {0, 1, 2});
  both("SO_ATTACH_REUSEPORT_EBPF", SYS_setsockopt, {fd, 1, 52, nothing, 0}, EPERM, {0, 1, 2});
  both("TCP_ULP", SYS_setsockopt, {fd, 6, 31, nothing, 0}, ENOENT, {0, 1, 2});
  both("SO_REUSEPORT", SYS_setsockopt, {fd, 1, 15, nothing, 0}, 0, {0, 1, 2});
  both("IP_ADD_MEMBERSHIP", SYS_setsockopt, {fd, 0, 35, nothing, 0}, 0, {0, 1, 2});
  both("F_SETLEASE", SYS_fcntl, {fd, 1024, 1}, EPERM, {0, 1});
  both("F_SETPIPE_SZ", SYS_fcntl, {fd, 1031, 4096}, 0, {0, 1});
  both("FIONREAD", SYS_ioctl, {fd, FIONREAD, nothing}, 0, {});
  for (const unsigned long flag :
       {CLONE_NEWNS + 0UL, CLONE_NEWCGROUP + 0UL, CLONE_NEWUTS + 0UL, CLONE_NEWIPC + 0UL,
        CLONE_NEWUSER + 0UL, CLONE_NEWPID + 0UL, CLONE_NEWNET + 0UL}) {
    both("clone", SYS_clone, {flag | SIGCHLD}, EPERM, {0});
  }
  both("clone3", SYS_clone3, {nothing, 88}, ENOSYS, {});
  both("openat2", SYS_openat2, {nothing}, ENOSYS, {});
  both("io_uring_setup", SYS_io_uring_setup, {1, nothing}, ENOSYS, {});
  for (const int family :
       {AF_VSOCK, AF_PACKET, AF_ALG, AF_BLUETOOTH, AF_CAN, AF_KEY, AF_TIPC, -1}) {
    both("family", SYS_socket, {static_cast<std::uint32_t>(family), SOCK_DGRAM}, EAFNOSUPPORT,
         {0, 1, 2});
  }
  both("unix", SYS_socket, {AF_UNIX, SOCK_STREAM}, 0, {0, 1, 2});
  both("tcp", SYS_socket, {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 6}, 0, {0, 1, 2});
  both("udp6", SYS_socket, {AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 17}, 0, {0, 1, 2});
  both("route", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, 0, {0, 1, 2});
  both("netfilter", SYS_socket, {AF_NETLINK, SOCK_RAW, 12}, EPROTONOSUPPORT, {0, 1, 2});
  both("raw", SYS_socket, {AF_INET, SOCK_RAW, 6}, EPERM, {0, 1, 2});
  both("seqpacket", SYS_socket, {AF_INET, SOCK_SEQPACKET}, EPERM, {0, 1, 2});
  both("icmp", SYS_socket, {AF_INET, SOCK_DGRAM, 1}, EPROTONOSUPPORT, {0, 1, 2});
  both("mptcp", SYS_socket, {AF_INET, SOCK_STREAM, 262}, EPROTONOSUPPORT, {0, 1, 2});
  both("sctp", SYS_socket, {AF_INET6, SOCK_STREAM, 132}, EPROTONOSUPPORT, {0, 1, 2});
  both("tipc pair", SYS_socketpair, {AF_TIPC, SOCK_STREAM}, EAFNOSUPPORT, {0, 1});
  both("PR_SET_SECCOMP", SYS_prctl, {PR_SET_SECCOMP, 1}, EPERM, {0});
  both("PR_SET_MM", SYS_prctl, {PR_SET_MM, 1}, EPERM, {0});
  both("PR_SCHED_CORE", SYS_prctl, {62, 1}, EPERM, {0});
  both("PR_GET_DUMPABLE", SYS_prctl, {PR_GET_DUMPABLE}, 0, {0});
  both("READ_IMPLIES_EXEC", SYS_personality, {0x0400000}, EPERM, {0});
  both("ask personality", SYS_personality, {0xffffffff}, 0, {0});
  both("limits of init", SYS_prlimit64, {1, RLIMIT_NOFILE, 1, 0}, EPERM, {0});
  cases.push_back({"limits of init, pointer with high bits only",
                   SYS_prlimit64,
                   {1, RLIMIT_NOFILE, 0x100000000, 0},
                   EPERM});
  both("reading limits of init", SYS_prlimit64, {1, RLIMIT_NOFILE, 0, 0}, 0, {0});
  both("own limits", SYS_prlimit64, {0, RLIMIT_NOFILE, 1, 0}, 0, {0});
  both("affinity of init", SYS_sched_setaffinity, {1, 8, nothing}, EPERM, {0});
  both("priority of init", SYS_setpriority, {PRIO_PROCESS, 1, 19}, EPERM, {0, 1});
  both("priority of the user", SYS_setpriority, {PRIO_USER, 0, 19}, EPERM, {0});
  both("block device", SYS_mknodat, {0, nothing, 0060644, 0}, EPERM, {0, 2});
  both("setuid chmod", SYS_chmod, {nothing, 04755}, EPERM, {1});
  both("setuid fchmodat", SYS_fchmodat, {0, nothing, 06755}, EPERM, {2});
  both("chmod", SYS_chmod, {nothing, 02755}, 0, {});
  both("setuid openat", SYS_openat, {0, nothing, O_CREAT, 04755}, EPERM, {2, 3});
  both("setuid O_TMPFILE", SYS_openat, {0, nothing, O_TMPFILE | O_RDWR, 04755}, EPERM, {2, 3});
  both("openat without O_CREAT", SYS_openat, {0, nothing, O_RDONLY, 04755}, 0, {});
  EXPECT_EQ(mistakes({.run_own_programs = true, .notify_exec = true}, cases), "");
  EXPECT_EQ(mistakes({.run_own_programs = true, .notify_exec = false}, cases), "");
}

TEST(SessionFilter, RefusesWholeCallsAndAnswersUnknownOnesAsAnOldKernelWould) {
  std::vector<Case> cases;
  for (const auto& set : policies::call_sets()) {
    if (set.verdict == CallVerdict::allowed) continue;
    for (const std::string_view name : set.calls) {
      cases.push_back({name.data(), syscall_number(name), {}, set.error});
    }
  }
  cases.push_back({"a call of the future", 505, {}, ENOSYS});
  EXPECT_EQ(mistakes({.run_own_programs = true}, cases), "");
}

TEST(SessionFilter, StrictHasNoExecutableMemoryFilesAndNoSharedMemorySegments) {
  const auto name = reinterpret_cast<std::uint64_t>("x");
  const std::vector<Case> own = {{"memfd", SYS_memfd_create, {name, 0}, 0},
                                 {"shmget", SYS_shmget, {0, 4096, 01600}, 0}};
  const std::vector<Case> strict = {{"memfd", SYS_memfd_create, {name, 0}, EPERM},
                                    {"high", SYS_memfd_create, {name, 0x800000001}, EPERM},
                                    {"noexec", SYS_memfd_create, {name, 8}, 0},
                                    {"shmget", SYS_shmget, {0, 4096, 01600}, EPERM}};
  EXPECT_EQ(mistakes({.run_own_programs = true}, own), "");
  EXPECT_EQ(mistakes({.run_own_programs = false}, strict), "");
}

TEST(SessionFilter, LeavesJitCompilersAndThreadsAlone) {
  Monitored monitored;
  EXPECT_EQ(monitored.run([] {
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return 1;
    const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
    std::memcpy(page, code, sizeof code);
    if (::mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0) return 2;
    return reinterpret_cast<int (*)()>(page)() == 42 ? 0 : 3;
  }),
            0);
  EXPECT_TRUE(monitored.recorder.records.empty());
}

TEST(SessionFilter, ACallOfAForeignAbiKills) {
  Monitored monitored;
  const int x32 =
      monitored.run([] { return static_cast<int>(::syscall(0x40000000 + SYS_getpid)); });
  EXPECT_TRUE(WIFSIGNALED(x32) && WTERMSIG(x32) == SIGSYS);
  Monitored second;
  const int compat = second.run([] {
    int result = 20;  // getpid
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(compat) && WTERMSIG(compat) == SIGSYS);
}

TEST(LauncherFilter, AdmitsReadingAndNotificationsOnly) {
  const auto answer = [](long number, CallArguments arguments) {
    seccomp_data data{};
    data.nr = static_cast<int>(number);
    data.arch = AUDIT_ARCH_X86_64;
    std::copy(arguments.begin(), arguments.end(), data.args);
    return interpret(launcher_filter(), data);
  };
  constexpr std::uint32_t kYes = SECCOMP_RET_ALLOW, kNo = SECCOMP_RET_KILL_PROCESS;
  EXPECT_EQ(answer(SYS_openat, {0, 0, O_RDONLY | O_CLOEXEC | O_NOFOLLOW}), kYes);
  EXPECT_EQ(answer(SYS_openat, {0, 0, O_WRONLY}), kNo);
  EXPECT_EQ(answer(SYS_openat, {0, 0, O_CREAT | kHigh}), kNo);
  EXPECT_EQ(answer(SYS_ioctl, {0, SECCOMP_IOCTL_NOTIF_ADDFD}), kYes);
  EXPECT_EQ(answer(SYS_ioctl, {0, TIOCSTI}), kNo);
  EXPECT_EQ(answer(SYS_ptrace, {4 /* POKETEXT */}), kNo);
  EXPECT_EQ(answer(SYS_mprotect, {0, 0, PROT_EXEC}), kNo);
  for (const long number :
       {SYS_execve, SYS_socket, SYS_process_vm_writev, SYS_openat2, SYS_clone}) {
    EXPECT_EQ(answer(number, {}), kNo);
  }
}

}  // namespace
}  // namespace oqto::sandbox
