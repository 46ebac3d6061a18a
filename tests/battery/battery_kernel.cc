// Namespaces, mounts, other ABIs, and interfaces of the kernel with a history.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/battery/battery.h"

namespace battery {
namespace {

alignas(4096) char zeroes[65536];

long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  return ::syscall(number, a, b, c, d, e, f);
}
template <class T>
long at(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

template <long Flag>
bool unshares(const Host&) {
  return call(SYS_unshare, Flag) == 0;
}
bool clones_user(const Host&) {
  const long pid = call(SYS_clone, CLONE_NEWUSER | SIGCHLD);
  if (pid == 0) ::_exit(0);
  return pid > 0;
}
bool clones_user_by_clone3(const Host&) {
  unsigned long arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  const long pid = call(SYS_clone3, at(arguments), 88);
  if (pid == 0) ::_exit(0);
  return pid > 0;
}
bool clone3_at_all(const Host&) {
  unsigned long arguments[11] = {0, 0, 0, 0, SIGCHLD};
  const long pid = call(SYS_clone3, at(arguments), 88);
  if (pid == 0) ::_exit(0);
  return pid > 0;
}
bool nests_netfilter(const Host&) {
  return ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && call(SYS_socket, 16, 3, 12) >= 0;
}
bool sets_namespace(const Host&) {
  const int fd = ::open("/proc/self/ns/uts", O_RDONLY);
  return reached(call(SYS_setns, fd, CLONE_NEWUTS));
}
bool chroots(const Host&) { return call(SYS_chroot, at("/")) == 0; }
bool mounts(const Host&) { return call(SYS_mount, at("x"), at("/tmp"), at("tmpfs")) == 0; }
bool unmounts(const Host&) { return reached(call(SYS_umount2, at("/proc"), 8)); }
bool opens_filesystem(const Host&) { return call(SYS_fsopen, at("tmpfs"), 0) >= 0; }
bool opens_tree(const Host&) { return call(SYS_open_tree, AT_FDCWD, at("/"), 1) >= 0; }
bool opens_tree_in_place(const Host&) { return call(SYS_open_tree, AT_FDCWD, at("/"), 0) >= 0; }
bool sets_mount_attributes(const Host&) {
  return reached(call(SYS_mount_setattr, AT_FDCWD, at("/"), 0, at(zeroes), 32));
}
bool pivots(const Host&) { return reached(call(SYS_pivot_root, at("/"), at("/"))); }

bool calls_i386(const Host&) {
  long result = 20;
  __asm__ volatile("int $0x80" : "+a"(result)::"memory");
  return result > 0;
}
bool calls_x32(const Host&) { return ::syscall(0x40000000L + SYS_getpid) > 0; }

bool sets_up_ring(const Host&) { return call(SYS_io_uring_setup, 4, at(zeroes)) >= 0; }
bool makes_map(const Host&) {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  return call(SYS_bpf, BPF_MAP_CREATE, at(&attr), sizeof attr) >= 0;
}
bool loads_socket_program(const Host&) {
  bpf_insn code[2] = {};
  code[0].code = 0xb7;
  code[1].code = 0x95;
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attr.insn_cnt = 2;
  attr.insns = reinterpret_cast<std::uint64_t>(code);
  attr.license = reinterpret_cast<std::uint64_t>("GPL");
  return call(SYS_bpf, BPF_PROG_LOAD, at(&attr), sizeof attr) >= 0;
}
bool counts_events(const Host&) {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.exclude_kernel = 1;
  return call(SYS_perf_event_open, at(&attr), 0, -1, -1, 0) >= 0;
}
bool handles_faults(const Host&) { return call(SYS_userfaultfd, 1) >= 0; }
bool asks_keyring(const Host&) { return call(SYS_keyctl, 0, -3, 1) >= 0; }
bool adds_key(const Host&) {
  return call(SYS_add_key, at("user"), at("battery"), at("x"), 1, -2) >= 0;
}
bool requests_key(const Host&) {
  return reached(call(SYS_request_key, at("user"), at("battery"), 0, 0));
}
bool loads_kernel(const Host&) { return reached(call(SYS_kexec_load, 0, 0, 0, 0)); }
bool loads_module(const Host&) { return reached(call(SYS_init_module, at(zeroes), 0, at(""))); }
bool reads_kernel_log(const Host&) { return call(SYS_syslog, 10) >= 0; }
bool asks_quota(const Host&) { return reached(call(SYS_quotactl, 0x800001 << 8, 0, 0, at(zeroes))); }
bool opens_by_handle(const Host&) { return reached(call(SYS_open_by_handle_at, AT_FDCWD, at(zeroes), 0)); }
bool names_handle(const Host&) {
  unsigned handle[40] = {128};
  int mount = 0;
  return call(SYS_name_to_handle_at, AT_FDCWD, at("/usr"), at(handle), at(&mount), 0) == 0;
}
bool watches_file_system(const Host&) { return call(SYS_fanotify_init, 0, 0) >= 0; }
bool watches_as_user(const Host&) { return call(SYS_fanotify_init, 0x200, 0) >= 0; }
bool asks_cookie(const Host&) { return reached(call(SYS_lookup_dcookie, 0, at(zeroes), 10)); }
bool makes_reading_executable(const Host&) { return call(SYS_personality, 0x0400000) >= 0; }
bool turns_randomness_off(const Host&) { return call(SYS_personality, 0x0040000) >= 0; }
bool changes_descriptors(const Host&) { return call(SYS_modify_ldt, 0, at(zeroes), 16) >= 0; }
bool gets_io_ports(const Host&) { return call(SYS_iopl, 3) == 0; }
bool swaps(const Host&) { return reached(call(SYS_swapon, at("/nonexistent"), 0)); }
bool accounts(const Host&) { return reached(call(SYS_acct, at("/nonexistent"))); }
bool reboots(const Host&) { return reached(call(SYS_reboot, 0, 0, 0, 0)); }
bool sets_clock(const Host&) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ::clock_settime(CLOCK_REALTIME, &now) == 0;
}
bool reads_clock_discipline(const Host&) {
  timex state{};
  return ::adjtimex(&state) >= 0;
}
bool names_host(const Host&) {
  char name[64] = {};
  ::gethostname(name, sizeof name - 1);
  return ::sethostname(name, std::strlen(name)) == 0;
}
bool hangs_up(const Host&) { return call(SYS_vhangup) == 0; }
bool adds_filter(const Host&) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  sock_fprog program = {1, &allow};
  return call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, at(&program)) == 0;
}
bool adds_filter_by_prctl(const Host&) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  sock_fprog program = {1, &allow};
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
bool restricts_itself(const Host&) { return call(SYS_landlock_create_ruleset, 0, 0, 1) >= 0; }

// --- memory and code -----------------------------------------------------------------------------

bool maps_writable_and_executable(const Host&) {
  return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}
bool maps_zero_page(const Host&) {
  return ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
         MAP_FAILED;
}
bool runs(int fd, const char* path) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    char name[] = "battery", option[] = "--help";
    char* argv[] = {name, option, nullptr};
    const int out = ::open("/dev/null", O_WRONLY);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::syscall(SYS_execveat, fd, path, argv, environ, fd >= 0 ? AT_EMPTY_PATH : 0);
    ::_exit(errno == EACCES || errno == EPERM ? 126 : 125);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  errno = EACCES;
  return WIFEXITED(status) && WEXITSTATUS(status) != 126 && WEXITSTATUS(status) != 125;
}
bool copy_self(const Host& host, int to) {
  const int from = ::open(host.self.c_str(), O_RDONLY);
  ssize_t n;
  while ((n = ::read(from, zeroes, sizeof zeroes)) > 0) {
    if (::write(to, zeroes, static_cast<std::size_t>(n)) != n) return false;
  }
  return from >= 0;
}
bool executes_memory_file(const Host& host) {
  const auto fd = static_cast<int>(call(SYS_memfd_create, at("battery"), 0));
  return fd >= 0 && copy_self(host, fd) && runs(fd, "");
}
bool executes_own_file(const Host& host) {
  const int fd = ::open("battery-own", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (fd < 0 || !copy_self(host, fd)) return false;
  ::close(fd);
  const bool open = runs(AT_FDCWD, "./battery-own");
  ::unlink("battery-own");
  errno = EACCES;
  return open;
}
bool maps_own_file_executable(const Host& host) {  // what ld.so does with a program it is given
  const int fd = ::open("battery-own", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (fd < 0 || !copy_self(host, fd)) return false;
  const bool open =
      ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED;
  const int error = errno;
  ::unlink("battery-own");
  errno = error;
  return open;
}

constexpr Probe kProbes[] = {
    {"userns-unshare", unshares<CLONE_NEWUSER>},
    {"userns-clone", clones_user},
    {"userns-clone3", clones_user_by_clone3},
    {"mntns-unshare", unshares<CLONE_NEWNS>},
    {"netns-unshare", unshares<CLONE_NEWNET>},
    {"pidns-unshare", unshares<CLONE_NEWPID>},
    {"ipcns-unshare", unshares<CLONE_NEWIPC>},
    {"utsns-unshare", unshares<CLONE_NEWUTS>},
    {"cgroupns-unshare", unshares<CLONE_NEWCGROUP>},
    {"timens-unshare", unshares<0x80>},
    {"userns-netfilter", nests_netfilter},
    {"setns", sets_namespace},
    {"clone3", clone3_at_all},
    {"chroot", chroots},
    {"mount", mounts},
    {"umount", unmounts},
    {"fsopen", opens_filesystem},
    {"open-tree-clone", opens_tree},
    {"open-tree", opens_tree_in_place},
    {"mount-setattr", sets_mount_attributes},
    {"pivot-root", pivots},
    {"abi-int80", calls_i386},
    {"abi-x32", calls_x32},
    {"io-uring", sets_up_ring},
    {"bpf-map", makes_map},
    {"bpf-program", loads_socket_program},
    {"perf-event", counts_events},
    {"userfaultfd", handles_faults},
    {"keyctl", asks_keyring},
    {"add-key", adds_key},
    {"request-key", requests_key},
    {"kexec", loads_kernel},
    {"module", loads_module},
    {"syslog", reads_kernel_log},
    {"quotactl", asks_quota},
    {"open-by-handle", opens_by_handle},
    {"name-to-handle", names_handle},
    {"fanotify", watches_file_system},
    {"fanotify-unprivileged", watches_as_user},
    {"lookup-dcookie", asks_cookie},
    {"personality-read-implies-exec", makes_reading_executable},
    {"personality-no-randomize", turns_randomness_off},
    {"modify-ldt", changes_descriptors},
    {"iopl", gets_io_ports},
    {"swapon", swaps},
    {"acct", accounts},
    {"reboot", reboots},
    {"clock-settime", sets_clock},
    {"adjtimex-read", reads_clock_discipline},
    {"sethostname", names_host},
    {"vhangup", hangs_up},
    {"seccomp-filter", adds_filter},
    {"seccomp-prctl", adds_filter_by_prctl},
    {"landlock-itself", restricts_itself},
    {"map-write-exec", maps_writable_and_executable},
    {"map-page-zero", maps_zero_page},
    {"exec-memfd", executes_memory_file},
    {"exec-own-file", executes_own_file},
    {"map-own-file-exec", maps_own_file_executable},
};

}  // namespace

std::span<const Probe> kernel_probes() { return kProbes; }

}  // namespace battery
