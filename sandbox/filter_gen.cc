// A build step: compiles the seccomp filters of a session with libseccomp and prints them as the
// C++ source of sandbox/filters.h. Comparisons are written so that bits which the kernel ignores
// cannot help: refusals compare the low 32 bits, or refuse too much when the high bits are set.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include "base/result.h"
#include "policies/session_syscalls.h"

#if !defined(__x86_64__)
#error "the session filters are written and tested for x86-64 only"
#endif

namespace {

constexpr scmp_datum_t kLow32 = 0xffffffff;

class Program {
 public:
  explicit Program(std::uint32_t otherwise) : context_(::seccomp_init(otherwise)) {
    CHECK(context_ != nullptr);
    CHECK(::seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0);
    CHECK(::seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { ::seccomp_release(context_); }

  void add(std::uint32_t action, std::string_view name,
           std::initializer_list<scmp_arg_cmp> arguments = {}) {
    const int call = ::seccomp_syscall_resolve_name(std::string(name).c_str());
    // A call newer than the library stays unlisted: it gets the default answer, the stricter one.
    if (call == __NR_SCMP_ERROR) return;
    const int error = ::seccomp_rule_add_array(
        context_, action, call, static_cast<unsigned>(arguments.size()), arguments.begin());
    if (error != 0) {
      (void)std::fprintf(stderr, "rule for %.*s: %d\n", static_cast<int>(name.size()), name.data(),
                         error);
      std::exit(1);
    }
  }
  void add_all(std::uint32_t action, std::span<const std::string_view> names) {
    for (const std::string_view name : names) add(action, name);
  }

  void print(const char* name) const {
    std::FILE* file = std::tmpfile();
    CHECK(file != nullptr && ::seccomp_export_bpf(context_, ::fileno(file)) == 0);
    CHECK(std::fseek(file, 0, SEEK_SET) == 0);
    (void)std::printf("static constexpr sock_filter %s[] = {\n", name);
    sock_filter step{};
    while (std::fread(&step, sizeof step, 1, file) == 1) {
      (void)std::printf("    {0x%02x, %u, %u, 0x%08x},\n", step.code, step.jt, step.jf, step.k);
    }
    (void)std::printf("};\n");
    (void)std::fclose(file);
  }

 private:
  scmp_filter_ctx context_;
};

constexpr std::uint32_t kNo = SCMP_ACT_ERRNO(EPERM);
constexpr std::uint32_t kNoFamily = SCMP_ACT_ERRNO(EAFNOSUPPORT);

scmp_arg_cmp low(unsigned argument, scmp_datum_t value) {
  return SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, kLow32, value);
}

// Families that stay inside the session's network namespace, in their ordinary types and protocols.
// AF_VSOCK in particular is not bound to a network namespace.
void refuse_sockets(Program& program) {
  for (scmp_datum_t family = 0; family <= AF_NETLINK; ++family) {
    if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK) {
      program.add(kNoFamily, "socket", {SCMP_A0(SCMP_CMP_EQ, family)});
    }
  }
  program.add(kNoFamily, "socket", {SCMP_A0(SCMP_CMP_GT, AF_NETLINK)});
  program.add(kNoFamily, "socket", {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, 0)});
  constexpr scmp_datum_t kTypeMask = 0xf;
  for (const unsigned family : {PF_INET + 0U, PF_INET6 + 0U}) {
    for (scmp_datum_t type = 0; type <= kTypeMask; ++type) {
      if (type == SOCK_STREAM || type == SOCK_DGRAM) continue;
      program.add(kNo, "socket",
                  {SCMP_A0(SCMP_CMP_EQ, family), SCMP_A1(SCMP_CMP_MASKED_EQ, kTypeMask, type)});
    }
    for (scmp_datum_t protocol = 1; protocol < IPPROTO_UDP; ++protocol) {
      if (protocol == IPPROTO_ICMP || protocol == IPPROTO_TCP) continue;
      program.add(kNo, "socket", {SCMP_A0(SCMP_CMP_EQ, family), SCMP_A2(SCMP_CMP_EQ, protocol)});
    }
    program.add(kNo, "socket", {SCMP_A0(SCMP_CMP_EQ, family), SCMP_A2(SCMP_CMP_GT, IPPROTO_UDP)});
  }
  program.add(kNoFamily, "socketpair", {SCMP_A0(SCMP_CMP_NE, AF_UNIX)});
}

// PID 1 is oqto-init: it has the agent's uid, so the kernel would let the agent slow or starve it.
void protect_init(Program& program) {
  for (const char* call :
       {"sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"}) {
    program.add(kNo, call, {low(0, 1)});
  }
  for (const char* call : {"setpriority", "ioprio_set"}) {
    program.add(kNo, call, {low(1, 1)});
  }
  program.add(kNo, "setpriority", {low(0, PRIO_USER)});
  program.add(kNo, "ioprio_set", {low(0, 3)});  // IOPRIO_WHO_USER
  program.add(kNo, "prlimit64", {SCMP_A0(SCMP_CMP_NE, 0), SCMP_A2(SCMP_CMP_NE, 0)});
}

void print_argument_filter() {
  Program program(SCMP_ACT_ALLOW);
  program.add(SCMP_ACT_NOTIFY, "execve");
  program.add(SCMP_ACT_NOTIFY, "execveat");
  for (const scmp_datum_t flag :
       {CLONE_NEWNS + 0UL, CLONE_NEWCGROUP + 0UL, CLONE_NEWUTS + 0UL, CLONE_NEWIPC + 0UL,
        CLONE_NEWUSER + 0UL, CLONE_NEWPID + 0UL, CLONE_NEWNET + 0UL}) {
    program.add(kNo, "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag)});
  }
  // Typing into another's terminal; TIOCLINUX pastes into the console.
  program.add(kNo, "ioctl", {low(1, TIOCSTI)});
  program.add(kNo, "ioctl", {low(1, TIOCLINUX)});
  program.add(kNo, "prctl", {low(0, PR_SET_SECCOMP)});
  program.add(kNo, "prctl", {low(0, PR_SET_MM)});
  refuse_sockets(program);
  protect_init(program);
  program.print("kArguments");
}

void print_call_filter(const char* name, bool run_own_programs) {
  Program program(SCMP_ACT_ERRNO(ENOSYS));
  program.add_all(SCMP_ACT_ALLOW, oqto::policies::session_allowed());
  program.add_all(kNo, oqto::policies::session_refused());
  // What setarch asks for: the default, a question, and no address randomisation.
  for (const scmp_datum_t persona : {0x0UL, 0xffffffffUL, 0x0040000UL}) {
    program.add(SCMP_ACT_ALLOW, "personality", {SCMP_A0(SCMP_CMP_EQ, persona)});
  }
  program.add_all(run_own_programs ? SCMP_ACT_ALLOW : kNo, oqto::policies::session_own_code());
  program.print(name);
}

// Restricted by argument, so not in the plain list.
bool is_checked(std::string_view name) {
  return name == "ioctl" || name == "ptrace" || name == "openat" || name == "mmap" ||
         name == "mprotect";
}

void print_launcher_filter() {
  Program program(SCMP_ACT_KILL_PROCESS);
  for (const std::string_view name : oqto::policies::launcher_allowed()) {
    if (!is_checked(name)) program.add(SCMP_ACT_ALLOW, name);
  }
  for (const scmp_datum_t request :
       {SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_IOCTL_NOTIF_ID_VALID}) {
    program.add(SCMP_ACT_ALLOW, "ioctl", {SCMP_A1(SCMP_CMP_EQ, request)});
  }
  for (const scmp_datum_t request :
       {PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, PTRACE_GETEVENTMSG, PTRACE_GETREGS}) {
    program.add(SCMP_ACT_ALLOW, "ptrace", {SCMP_A0(SCMP_CMP_EQ, request)});
  }
  constexpr scmp_datum_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC;
  program.add(SCMP_ACT_ALLOW, "openat", {SCMP_A2(SCMP_CMP_MASKED_EQ, kWrites, O_RDONLY)});
  for (const char* call : {"mmap", "mprotect"}) {
    program.add(SCMP_ACT_ALLOW, call, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  }
  program.print("kLauncher");
}

}  // namespace

int main() {
  (void)std::printf(
      "// Generated by filter_gen.\n#include \"sandbox/filters.h\"\n\n"
      "namespace oqto::sandbox {\n\n");
  print_argument_filter();
  print_call_filter("kCalls", true);
  print_call_filter("kCallsStrict", false);
  print_launcher_filter();
  (void)std::printf(
      "\nFilter argument_filter() { return kArguments; }\n"
      "Filter call_filter(bool own) { return own ? Filter(kCalls) : Filter(kCallsStrict); }\n"
      "Filter launcher_filter() { return kLauncher; }\n\n}  // namespace oqto::sandbox\n");
  return 0;
}
