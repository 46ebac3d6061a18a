#include <algorithm>
#include <cerrno>

#include "policies/session_syscalls.h"

namespace oqto::policies {
namespace {

using Name = std::string_view;
using Value = std::uint32_t;
using Test = ArgumentTest;

constexpr Value kAll = 0xffffffff;
constexpr Test is(std::uint8_t argument, std::span<const Value> values, Value mask = kAll) {
  return {argument, false, mask, true, values};
}
constexpr Test is_not(std::uint8_t argument, std::span<const Value> values, Value mask = kAll) {
  return {argument, false, mask, false, values};
}

constexpr Value kZero[] = {0};
constexpr Value kInit[] = {1};

// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
constexpr Value kNewNamespaces =
    0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;
constexpr Test kCloneNew[] = {is_not(0, kZero, kNewNamespaces)};

constexpr Value kTyping[] = {0x5412, 0x541c};  // TIOCSTI, TIOCLINUX
constexpr Test kTypes[] = {is(1, kTyping)};
constexpr Value kSetDiscipline[] = {0x5423};  // TIOCSETD
constexpr Test kDiscipline[] = {is(1, kSetDiscipline)};

// Bridges, frame relay and VLANs: their modules are loaded for whoever asks, before the capability.
constexpr Value kLoading[] = {0x8940, 0x8941, 0x8980, 0x8981, 0x8982, 0x8983, 0x89a0, 0x89a1};
constexpr Test kLoadingRequests[] = {is(1, kLoading)};
// btrfs's, except for the three that others have too: FICLONE, FICLONERANGE, FIDEDUPERANGE.
constexpr Value kVolumes[] = {0x9400};
constexpr Value kClones[] = {0x40049409, 0x4020940d, 0xc0189436};
constexpr Test kVolumeRequests[] = {is(1, kVolumes, 0xff00), is_not(1, kClones)};

constexpr Value kSocketLevel[] = {1}, kTcpLevel[] = {6};
constexpr Value kFilters[] = {26, 50, 51, 52};  // SO_ATTACH_FILTER, _BPF, _REUSEPORT_CBPF, _EBPF
constexpr Value kLayers[] = {31};               // TCP_ULP
constexpr Test kSocketFilter[] = {is(1, kSocketLevel), is(2, kFilters)};
constexpr Test kTcpLayer[] = {is(1, kTcpLevel), is(2, kLayers)};

constexpr Value kLeases[] = {1024, 1040};  // F_SETLEASE, F_SETDELEG
constexpr Test kLease[] = {is(1, kLeases)};

constexpr Value kUnix = 1, kInet = 2, kInet6 = 10, kNetlink = 16;
constexpr Value kFamilies[] = {kUnix, kInet, kInet6, kNetlink};
constexpr Value kNetlinkFamily[] = {kNetlink};
constexpr Value kUnixFamily[] = {kUnix};
constexpr Value kInetFamilies[] = {kInet, kInet6};
constexpr Value kStreamOrDatagram[] = {1, 2};
constexpr Value kMultipath[] = {262};       // IPPROTO_MPTCP
constexpr Value kProtocols[] = {0, 6, 17};  // the default, TCP, UDP
constexpr Test kFamily[] = {is_not(0, kFamilies)};
constexpr Test kNetlinkRoute[] = {is(0, kNetlinkFamily), is_not(2, kZero)};
constexpr Test kType[] = {is(0, kInetFamilies), is_not(1, kStreamOrDatagram, 0xf)};
constexpr Test kMptcp[] = {is(0, kInetFamilies), is(2, kMultipath)};
constexpr Test kProtocol[] = {is(0, kInetFamilies), is_not(2, kProtocols)};
constexpr Test kPair[] = {is_not(0, kUnixFamily)};

// What runtimes, shells and crash handlers use of prctl. Among the rest are installing filters, new
// names for the running program (PR_SET_MM), and core scheduling.
constexpr Value kPrctls[] = {
    1,          2,   // PDEATHSIG
    3,          4,   // DUMPABLE
    7,          8,   // KEEPCAPS
    15,         16,  // NAME
    21,              // GET_SECCOMP
    23,         24,  // CAPBSET
    25,              // GET_TSC
    27,         28,  // SECUREBITS
    29,         30,  // TIMERSLACK
    34,              // MCE_KILL_GET
    36,         37,  // CHILD_SUBREAPER
    38,         39,  // NO_NEW_PRIVS
    40,              // GET_TID_ADDRESS
    41,         42,  // THP_DISABLE
    47,              // CAP_AMBIENT
    52,         53,  // SPECULATION_CTRL
    65,         66,  // MDWE
    68,              // GET_MEMORY_MERGE
    0x53564d41,      // SET_VMA: names of memory areas
    0x59616d61,      // SET_PTRACER
};
constexpr Test kPrctl[] = {is_not(0, kPrctls)};

// What setarch asks for: the default, a question, and no address randomisation.
constexpr Value kPersonas[] = {0x0, 0xffffffff, 0x0040000};
constexpr Test kPersona[] = {is_not(0, kPersonas)};

constexpr Test kOthersLimitLow[] = {is_not(0, kZero), is_not(2, kZero)};
constexpr Test kOthersLimitHigh[] = {is_not(0, kZero), {2, true, kAll, false, kZero}};

constexpr Test kInitFirst[] = {is(0, kInit)};
constexpr Test kInitSecond[] = {is(1, kInit)};
constexpr Value kPrioUser[] = {2};
constexpr Value kIoprioUser[] = {3};
constexpr Test kWholeUser[] = {is(0, kPrioUser)};
constexpr Test kWholeUserIo[] = {is(0, kIoprioUser)};

constexpr Value kDevices[] = {0020000, 0060000};  // S_IFCHR, S_IFBLK
constexpr Test kMknodDevice[] = {is(1, kDevices, 0170000)};
constexpr Test kMknodatDevice[] = {is(2, kDevices, 0170000)};
constexpr Value kSetuid = 04000;
constexpr Test kSetuidFirst[] = {is_not(1, kZero, kSetuid)};
constexpr Test kSetuidSecond[] = {is_not(2, kZero, kSetuid)};
constexpr Value kCreate = 0100 | 020000000;  // O_CREAT, __O_TMPFILE: else the mode is not looked at
constexpr Test kSetuidOpen[] = {is_not(2, kZero, kSetuid), is_not(1, kZero, kCreate)};
constexpr Test kSetuidOpenat[] = {is_not(3, kZero, kSetuid), is_not(2, kZero, kCreate)};

constexpr Value kNoExecSeal = 0x8;  // MFD_NOEXEC_SEAL
constexpr Test kExecutableMemfd[] = {is(1, kZero, kNoExecSeal)};

constexpr ArgumentRule rule(Name name, Name call, int error, std::span<const Test> tests,
                            Name reason) {
  return {name, call, error, CallVerdict::refused, false, reason, tests};
}

constexpr Name kSetuidReason =
    "a setuid file would lend the session's uid to other users of the host";
constexpr Name kDeviceReason = "device files are not made in a session";
constexpr Name kInitReason = "PID 1 of the session is not to be slowed down by its programs";

constexpr ArgumentRule kRules[] = {
    rule("new-namespaces", "clone", EPERM, kCloneNew, "new namespaces: the way to more kernel"),
    rule("terminal-input", "ioctl", EPERM, kTypes, "typing into a terminal in its user's name"),
    rule("line-discipline", "ioctl", EPERM, kDiscipline,
         "loads line disciplines, with a history of exploits"),
    rule("module-requests", "ioctl", EPERM, kLoadingRequests,
         "makes the kernel load network drivers for whoever asks"),
    rule("volumes", "ioctl", EPERM, kVolumeRequests,
         "a snapshot shows what lies beside the files that are granted"),
    rule("socket-filter", "setsockopt", EPERM, kSocketFilter,
         "programs that the kernel runs: BPF by another door"),
    rule("tcp-layer", "setsockopt", ENOENT, kTcpLayer,
         "TLS in the kernel, with a history of exploits; libraries do it themselves"),
    rule("leases", "fcntl", EPERM, kLease,
         "whoever opens the file outside would wait until the lease is broken"),
    rule(
        "socket-family", "socket", EAFNOSUPPORT, kFamily,
        "only unix, inet, inet6 and netlink sockets: vsock, for one, leaves the network namespace"),
    rule("netlink-protocol", "socket", EPROTONOSUPPORT, kNetlinkRoute,
         "of netlink only routes and addresses"),
    rule("socket-type", "socket", EPERM, kType, "only streams and datagrams"),
    {"multipath-tcp", "socket", EPROTONOSUPPORT, CallVerdict::probed, false,
     "runtimes try it before TCP", kMptcp},
    rule("socket-protocol", "socket", EPROTONOSUPPORT, kProtocol, "only TCP and UDP"),
    rule("socket-family", "socketpair", EAFNOSUPPORT, kPair, "pairs are unix sockets"),
    rule("prctl-option", "prctl", EPERM, kPrctl, "not an option that programs need"),
    rule("personality", "personality", EPERM, kPersona,
         "other personalities weaken the address space"),
    rule("limits-of-others", "prlimit64", EPERM, kOthersLimitLow,
         "limits of another process, PID 1 included"),
    rule("limits-of-others", "prlimit64", EPERM, kOthersLimitHigh,
         "limits of another process, PID 1 included"),
    rule("protect-init", "sched_setaffinity", EPERM, kInitFirst, kInitReason),
    rule("protect-init", "sched_setscheduler", EPERM, kInitFirst, kInitReason),
    rule("protect-init", "sched_setparam", EPERM, kInitFirst, kInitReason),
    rule("protect-init", "sched_setattr", EPERM, kInitFirst, kInitReason),
    rule("protect-init", "setpriority", EPERM, kInitSecond, kInitReason),
    rule("protect-init", "setpriority", EPERM, kWholeUser, kInitReason),
    rule("protect-init", "ioprio_set", EPERM, kInitSecond, kInitReason),
    rule("protect-init", "ioprio_set", EPERM, kWholeUserIo, kInitReason),
    rule("device-files", "mknod", EPERM, kMknodDevice, kDeviceReason),
    rule("device-files", "mknodat", EPERM, kMknodatDevice, kDeviceReason),
    rule("setuid-files", "mknod", EPERM, kSetuidFirst, kSetuidReason),
    rule("setuid-files", "mknodat", EPERM, kSetuidSecond, kSetuidReason),
    rule("setuid-files", "chmod", EPERM, kSetuidFirst, kSetuidReason),
    rule("setuid-files", "fchmod", EPERM, kSetuidFirst, kSetuidReason),
    rule("setuid-files", "fchmodat", EPERM, kSetuidSecond, kSetuidReason),
    rule("setuid-files", "fchmodat2", EPERM, kSetuidSecond, kSetuidReason),
    rule("setuid-files", "creat", EPERM, kSetuidFirst, kSetuidReason),
    rule("setuid-files", "open", EPERM, kSetuidOpen, kSetuidReason),
    rule("setuid-files", "openat", EPERM, kSetuidOpenat, kSetuidReason),
    {"executable-memory-file", "memfd_create", EPERM, CallVerdict::refused, true,
     "a file that exists only in memory can be executed whatever Landlock says about paths",
     kExecutableMemfd},
};

bool holds(const Test& test, const CallArguments& arguments) {
  const std::uint64_t whole = arguments[test.argument];
  const Value half = static_cast<Value>(test.high ? whole >> 32 : whole) & test.mask;
  return (std::ranges::find(test.values, half) != test.values.end()) == test.in;
}

}  // namespace

bool ArgumentRule::applies(std::string_view call_name, bool run_own_programs) const {
  return call == call_name && !(strict_only && run_own_programs);
}

std::span<const ArgumentRule> argument_rules() {
  return kRules;
}

CallJudgement judge_syscall(std::string_view name, const CallArguments& arguments,
                            bool run_own_programs) {
  const CallDescription call = describe_syscall(name, run_own_programs);
  if (call.has_rules) {
    for (const ArgumentRule& each : kRules) {
      if (!each.applies(name, run_own_programs)) continue;
      const bool all =
          std::ranges::all_of(each.tests, [&](const Test& test) { return holds(test, arguments); });
      if (all) return {each.verdict, each.error, each.name, each.reason};
    }
  }
  return {call.verdict, call.error, call.set, call.reason};
}

}  // namespace oqto::policies
