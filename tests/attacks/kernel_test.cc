// Attacks on the kernel.
#include <cstring>

#include "tests/attacks/attack.h"

namespace oqto::sandbox {
namespace {

TEST_P(Attack, ByNewNamespaces) {
  for (const char* flag : {"0x10000000", "0x00020000", "0x02000000", "0x04000000", "0x08000000",
                           "0x20000000", "0x40000000"}) {
    const std::string both = std::to_string(std::stoul(flag, nullptr, 0) | 0x11);  // and SIGCHLD
    expect_closed_in_every_spelling({"call", "clone", both}, 2, "EPERM", kRoot);
    expect_closed({"call", "unshare", flag}, "EPERM", kRoot);  // it takes all 64 bits
  }
  expect_closed({"call", "unshare", "0x80"}, "EPERM", kRoot);      // NEWTIME
  expect_closed({"clone3", "0x10000000"}, "ENOSYS", agent());
  EXPECT_EQ(inside({"call", "setns", "0", "0"}), "closed: EPERM\n");
  EXPECT_EQ(outside(kRoot, {"call", "setns", "0", "0"}), "closed: EINVAL\n");
}

TEST_P(Attack, ByAUserNamespaceOfItsOwn) {
  for (const char* what : {"", "mount", "fsopen", "netfilter"}) {
    expect_closed({"nest", what}, "EPERM", agent());
    EXPECT_EQ(in_plain_bubblewrap(agent(), {"nest", what}), "open\n") << what;
  }
}

TEST_P(Attack, ByMounts) {
  expect_closed({"mount"}, "EPERM", kRoot);
  for (const Words& attack : std::vector<Words>{{"call", "mount", "@none", "@/tmp", "@tmpfs"},
                                                {"call", "umount2", "@/tmp"},
                                                {"call", "fsopen", "@tmpfs"},
                                                {"call", "fspick", "-100", "@/"},
                                                {"call", "open_tree", "-100", "@/", "1"},
                                                {"call", "move_mount", "-1", "@", "-1", "@"},
                                                {"call", "mount_setattr", "-100", "@/", "0", "@", "32"},
                                                {"call", "pivot_root", "@/tmp", "@/tmp"},
                                                {"call", "chroot", "@/tmp"},
                                                {"umount", "/workspace"},
                                                {"remount", "/usr"}}) {
    EXPECT_EQ(inside(attack), "closed: EPERM\n") << attack[1];
  }
}

TEST_P(Attack, ByKernelInterfacesThatAProgramDoesNotNeed) {
  expect_closed({"io-uring"}, "ENOSYS", kRoot);
  for (const char* call : {"io_uring_enter", "io_uring_register"}) {
    EXPECT_EQ(inside({"call", call, "0", "0"}), "closed: ENOSYS\n") << call;
  }
  expect_closed({"bpf"}, "EPERM", kRoot);
  expect_closed({"perf"}, "EPERM", kRoot);
  expect_closed({"call", "userfaultfd", "1"}, "EPERM", agent());
  expect_closed({"seccomp"}, "EPERM", agent());
}

TEST_P(Attack, OnTheKernelsKeyring) {
  expect_closed({"call", "keyctl", "0", "-3", "1"}, "EPERM", agent());
  expect_closed({"add-key"}, "EPERM", agent());
  EXPECT_EQ(inside({"call", "request_key", "@user", "@probe", "@", "0"}), "closed: EPERM\n");
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"add-key"}), "open\n");
}

// One call each; outside, as root, the kernel at least looks at the arguments.
TEST_P(Attack, OnTheHostByCallsOfItsAdministrator) {
  for (const Words& attack : std::vector<Words>{
           {"call", "init_module", "@", "0", "@"},   {"call", "finit_module", "-1", "@", "0"},
           {"call", "delete_module", "@", "0"},      {"call", "kexec_load", "0", "0", "0", "0"},
           {"call", "reboot", "0", "0", "0", "0"},   {"call", "syslog", "10", "0", "0"},
           {"call", "swapon", "@/x", "0"},           {"call", "swapoff", "@/x"},
           {"call", "iopl", "0"},                    {"call", "ioperm", "0", "1", "0"},
           {"call", "quotactl", "0", "@", "0", "@"}, {"call", "fanotify_init", "0", "0"},
           {"call", "vhangup"},                      {"call", "modify_ldt", "0", "@", "16"},
           {"call", "name_to_handle_at", "-100", "@/", "@", "@", "0"},
           {"call", "open_by_handle_at", "-1", "@", "0"},
           {"call", "lookup_dcookie", "0", "@", "0"}, {"call", "move_pages", "0", "0", "0", "0", "0", "0"},
           {"call", "migrate_pages", "0", "0", "0", "0"},
           {"call", "process_madvise", "-1", "@", "0", "0", "0"},
           {"call", "setgroups", "0", "0"},          {"call", "setdomainname", "@x", "1"},
           {"set-hostname", "x"},                    {"set-clock"},
           {"call", "settimeofday", "@", "0"},       {"call", "adjtimex", "@"},
           {"call", "clock_adjtime", "0", "@"}}) {
    EXPECT_EQ(inside(attack), "closed: EPERM\n") << attack[0] << ' ' << (attack.size() > 1 ? attack[1] : "");
  }
  EXPECT_EQ(outside(kRoot, {"call", "syslog", "10", "0", "0"}), "open\n");
}

TEST_P(Attack, ByCallsOfAnotherAbi) {
  for (const char* call : {"20", "102", "26", "5"}) {  // getpid, socketcall, ptrace, open
    EXPECT_EQ(inside_ran({"int80", call}).signal, SIGSYS) << call;
  }
  EXPECT_EQ(outside(agent(), {"int80"}), "open\n");
  EXPECT_EQ(in_plain_bubblewrap(agent(), {"int80"}), "open\n");
  EXPECT_EQ(outside(agent(), {"x32"}), "alive\n");
  for (const char* call : {"39", "41", "101", "512", "520"}) {
    EXPECT_EQ(inside_ran({"x32", call}).signal, SIGSYS) << call;
  }
}

TEST_P(Attack, ByGivingUpWhatKeepsItIn) {
  for (const char* option : {"22" /* SET_SECCOMP */, "35" /* SET_MM */}) {
    for (const char* high : {"", "0x1", "0xffffffff"}) {
      const std::uint64_t value =
          std::stoull(option) | (std::strlen(high) == 0 ? 0 : std::stoull(high, nullptr, 0) << 32);
      EXPECT_EQ(inside({"call", "prctl", std::to_string(value), "1", "0", "0", "0"}),
                "closed: EPERM\n")
          << option << ' ' << high;
    }
  }
  EXPECT_EQ(inside({"ptrace-child"}), "closed: EPERM\n");  // and so no PTRACE_O_SUSPEND_SECCOMP
}

TEST_P(Attack, ByAPersonalityThatMakesMemoryExecutable) {
  EXPECT_EQ(outside(agent(), {"read-implies-exec"}), "open\n");
  EXPECT_TRUE(is_closed(inside({"read-implies-exec"})));
  for (const char* persona : {"0x0400000", "0x100000", "0x0200000", "0x4000000", "0x8",
                              "0x100400000", "0xffffffff00400000"}) {
    EXPECT_TRUE(is_closed(inside({"call", "personality", persona}))) << persona;
  }
  EXPECT_EQ(inside({"call", "personality", "0x0040000"}), "open\n");  // setarch -R
}

TEST_P(Attack, OnInitByTheSchedulersCalls) {
  const Words calls[] = {{"call", "sched_setaffinity", "1", "8", "@"},
                         {"call", "sched_setparam", "1", "@"},
                         {"call", "sched_setscheduler", "1", "0", "@"},
                         {"call", "sched_setattr", "1", "@", "0"},
                         {"call", "setpriority", "0", "1", "19"},
                         {"call", "ioprio_set", "1", "1", "0"},
                         {"call", "prlimit64", "1", "7", "@", "0"}};
  const std::size_t who[] = {2, 2, 2, 2, 3, 3, 2};
  for (std::size_t i = 0; i < std::size(calls); ++i) {
    for (const char* spelling : {"1", "0x100000001", "0xffffffff00000001", "0x8000000000000001"}) {
      Words attack = calls[i];
      attack[who[i]] = spelling;
      EXPECT_EQ(inside(attack), "closed: EPERM\n") << attack[1] << ' ' << spelling;
    }
  }
  // Every process of the uid at once, or of a group that init is in: group 0 is one's own.
  EXPECT_EQ(inside({"call", "setpriority", "2", "0", "19"}), "closed: EPERM\n");
  EXPECT_EQ(inside({"call", "setpriority", "0x100000002", "0", "19"}), "closed: EPERM\n");
  EXPECT_EQ(inside({"call", "ioprio_set", "3", "0", "0"}), "closed: EPERM\n");
  EXPECT_EQ(inside({"call", "ioprio_set", "0xffffffff00000003", "0", "0"}), "closed: EPERM\n");
}

TEST_P(Attack, ByAFileThatExistsInMemoryOnly) {
  EXPECT_EQ(outside(agent(), {"memfd-exec"}), "open\n");
  EXPECT_EQ(inside({"memfd-exec"}), runs_own_programs() ? "open\n" : "closed: EPERM\n");
}

TEST_P(Attack, ByAProgramThatItWrote) {
  const std::string copy = "/workspace/own";
  const Ran made = session->run({"/bin/cp", "/usr/bin/true", copy});
  ASSERT_EQ(made.exit_status, 0);
  const std::string allowed = runs_own_programs() ? "open\n" : "closed: EACCES\n";
  EXPECT_EQ(inside({"execute", copy}), allowed);
  ASSERT_EQ(session->run({"/bin/cp", "/usr/bin/true", "/tmp/own"}).exit_status, 0);
  EXPECT_EQ(inside({"execute", "/tmp/own"}), allowed);
  ASSERT_EQ(session->run({"/bin/cp", "/usr/bin/true", "/dev/shm/own"}).exit_status, 0);
  EXPECT_EQ(inside({"execute", "/dev/shm/own"}), allowed);
  ASSERT_EQ(session->run({"/bin/cp", "/usr/bin/true", "/home/agent/own"}).exit_status, 0);
  EXPECT_EQ(inside({"execute", "/home/agent/own"}), allowed);
}

TEST_P(Attack, EveryNamespaceIsItsOwn) {
  for (const char* name : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"}) {
    const std::string host = outside(agent(), {"namespace", name});
    const std::string own = inside({"namespace", name});
    EXPECT_TRUE(own.starts_with(std::string(name) + ":[")) << own;
    EXPECT_NE(own, host) << name;
  }
}

}  // namespace
}  // namespace oqto::sandbox
