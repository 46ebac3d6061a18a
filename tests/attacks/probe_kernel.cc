// Attacks on the kernel: interfaces with a history, other ABIs, new namespaces.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>

#include "tests/attacks/probe.h"

namespace probe {
namespace {

struct Call {
  const char* name;
  long number;
};
#define CALL(name) {#name, SYS_##name}
constexpr Call kCalls[] = {
    CALL(add_key),          CALL(adjtimex),        CALL(bpf),
    CALL(chroot),           CALL(clock_adjtime),   CALL(clock_settime),
    CALL(clone),            CALL(clone3),          CALL(delete_module),
    CALL(fanotify_init),    CALL(finit_module),    CALL(fsconfig),
    CALL(fsopen),           CALL(fspick),          CALL(init_module),
    CALL(io_uring_enter),   CALL(io_uring_register), CALL(io_uring_setup),
    CALL(ioctl),            CALL(ioperm),          CALL(iopl),
    CALL(ioprio_set),       CALL(kcmp),            CALL(kexec_load),
    CALL(keyctl),           CALL(lookup_dcookie),  CALL(memfd_create),
    CALL(migrate_pages),    CALL(modify_ldt),      CALL(mount),
    CALL(mount_setattr),    CALL(move_mount),      CALL(move_pages),
    CALL(mq_open),          CALL(name_to_handle_at), CALL(open_by_handle_at),
    CALL(open_tree),        CALL(perf_event_open), CALL(personality),
    CALL(pidfd_getfd),      CALL(pivot_root),      CALL(prctl),
    CALL(prlimit64),        CALL(process_madvise), CALL(process_vm_readv),
    CALL(process_vm_writev), CALL(ptrace),         CALL(quotactl),
    CALL(reboot),           CALL(request_key),     CALL(sched_setaffinity),
    CALL(sched_setattr),    CALL(sched_setparam),  CALL(sched_setscheduler),
    CALL(seccomp),          CALL(setdomainname),   CALL(setgroups),
    CALL(sethostname),      CALL(setns),           CALL(setpriority),
    CALL(settimeofday),     CALL(shmget),          CALL(socket),
    CALL(socketpair),       CALL(swapoff),         CALL(swapon),
    CALL(syslog),           CALL(umount2),         CALL(unshare),
    CALL(userfaultfd),      CALL(vhangup),         CALL(vmsplice),
};
#undef CALL

alignas(4096) std::array<char, 65536> room;

long argument(const std::string& word, std::size_t index) {
  if (word == "@") return reinterpret_cast<long>(room.data() + 4096 * index);
  if (word.starts_with("@")) return reinterpret_cast<long>(word.c_str() + 1);
  return number(word);
}

// NAME ARGUMENTS...: any call with any arguments, all 64 bits of them. "@" is a pointer to zeroes
// and "@text" one to the text. The child of a successful clone ends at once.
int call(const Words& a) {
  for (const Call& known : kCalls) {
    if (a[0] != known.name) continue;
    std::array<long, 6> in{};
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = argument(a[i + 1], i);
    const pid_t before = ::getpid();
    const long got = ::syscall(known.number, in[0], in[1], in[2], in[3], in[4], in[5]);
    if (got == 0 && ::getpid() != before) ::_exit(0);
    return verdict(got >= 0);
  }
  return closed(EINVAL);
}

int clone3_with(const Words& a) {
  unsigned long arguments[11] = {static_cast<unsigned long>(number(a[0])), 0, 0, 0, SIGCHLD};
  const long pid = ::syscall(SYS_clone3, arguments, 88);
  if (pid == 0) ::_exit(0);
  return verdict(pid > 0);
}

// A user namespace in a child, and in it what needs its capabilities.
int nest(const Words& a) {
  const pid_t child = ::fork();
  if (child == 0) {
    bool open = ::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0;
    if (open && a[0] == "mount") open = ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0;
    if (open && a[0] == "fsopen") open = ::syscall(SYS_fsopen, "tmpfs", 0) >= 0;
    if (open && a[0] == "netfilter") open = ::syscall(SYS_socket, 16, 3, 12) >= 0;
    verdict(open);
    std::fflush(stdout);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  return 0;
}

int mount_something(const Words&) {
  return verdict(::unshare(CLONE_NEWNS) == 0 &&
                 ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                 ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0);
}

int load_bpf(const Words&) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  return verdict(::syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) >= 0);
}

int count_events(const Words&) {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  return verdict(::syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0);
}

int set_up_ring(const Words&) {
  unsigned char parameters[120] = {};
  return verdict(::syscall(SYS_io_uring_setup, 4, parameters) >= 0);
}

int add_key(const Words&) {
  return verdict(::syscall(SYS_add_key, "user", "probe", "x", 1UL, -2 /* process keyring */) >= 0);
}

// --- another ABI ---------------------------------------------------------------------------------

int call_i386(const Words& a) {  // NUMBER in that table; 20 is its getpid
  long result = a[0].empty() ? 20 : number(a[0]);
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
  return verdict(result > 0 || result == -EFAULT || result == -ENOENT);
}

int call_x32(const Words& a) {
  ::syscall(0x40000000L + (a[0].empty() ? SYS_getpid : number(a[0])), 0, 0, 0);
  std::puts("alive");
  return 0;
}

// A far jump to the 32-bit code segment: the same calls without int 0x80's own gate.
int sysenter_i386(const Words&) {
  void* low = ::mmap(reinterpret_cast<void*>(0x10000000), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (low == MAP_FAILED) return verdict(false);
  // mov eax, 20; int 0x80; lret
  const unsigned char code[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb};
  std::memcpy(low, code, sizeof code);
  struct [[gnu::packed]] {
    std::uint32_t offset;
    std::uint16_t segment;
  } target = {0x10000000, 0x23};
  long result = 0;
  __asm__ volatile("lcall *%1" : "=a"(result) : "m"(target) : "memory", "cc");
  return verdict(static_cast<int>(result) > 0);
}

// --- what one is and can become ------------------------------------------------------------------

int filter_more(const Words&) {
  return verdict(::syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, nullptr) == 0 ||
                 errno == EFAULT);
}

int gain_privileges_again(const Words&) {  // no_new_privs cannot be taken back
  return verdict(::prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

int become_dumpable_init(const Words&) {
  std::printf("dumpable %d\n", ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  return 0;
}

// PROT_READ must not come to mean PROT_EXEC.
int read_implies_exec(const Words&) {
  if (::syscall(SYS_personality, 0x0400000) < 0) return verdict(false);
  return verdict(::syscall(SYS_personality, 0xffffffff) & 0x0400000);
}

int set_clock(const Words&) {  // to what it says already
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return verdict(::clock_settime(CLOCK_REALTIME, &now) == 0);
}

int name_host(const Words& a) { return verdict(::sethostname(a[0].c_str(), a[0].size()) == 0); }

int own_namespace(const Words& a) {  // the number of one, to compare with the host's
  char target[64] = {};
  if (::readlink(("/proc/self/ns/" + a[0]).c_str(), target, sizeof target - 1) < 0) {
    return verdict(false);
  }
  std::puts(target);
  return 0;
}

int execute_from_memory(const Words&) {
  const auto fd = static_cast<int>(::syscall(SYS_memfd_create, "probe", 0));
  if (fd < 0) return verdict(false);
  const int from = ::open("/usr/bin/true", O_RDONLY);
  char piece[65536];
  ssize_t n;
  while ((n = ::read(from, piece, sizeof piece)) > 0) (void)!::write(fd, piece, static_cast<std::size_t>(n));
  const pid_t child = ::fork();
  if (child == 0) {
    char* argv[] = {const_cast<char*>("true"), nullptr};
    ::syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
    ::_exit(errno == EACCES ? 13 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  errno = EACCES;
  return verdict(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int execute(const Words& a) {  // PROGRAM ARGUMENTS...
  const pid_t child = ::fork();
  if (child == 0) {
    std::array<char*, 4> argv = {const_cast<char*>(a[0].c_str()),
                                 a[1].empty() ? nullptr : const_cast<char*>(a[1].c_str()), nullptr,
                                 nullptr};
    ::execv(argv[0], argv.data());
    ::_exit(errno);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  errno = WEXITSTATUS(status);
  return verdict(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

constexpr Attack kAttacks[] = {
    {"call", call},
    {"clone3", clone3_with},
    {"nest", nest},
    {"mount", mount_something},
    {"bpf", load_bpf},
    {"perf", count_events},
    {"io-uring", set_up_ring},
    {"add-key", add_key},
    {"int80", call_i386},
    {"x32", call_x32},
    {"sysenter", sysenter_i386},
    {"seccomp", filter_more},
    {"new-privileges", gain_privileges_again},
    {"dumpable", become_dumpable_init},
    {"read-implies-exec", read_implies_exec},
    {"set-clock", set_clock},
    {"set-hostname", name_host},
    {"namespace", own_namespace},
    {"memfd-exec", execute_from_memory},
    {"execute", execute},
};

}  // namespace

std::span<const Attack> kernel_attacks() { return kAttacks; }

}  // namespace probe
