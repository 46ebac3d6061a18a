// One attack per sub-command. Prints "open" when it works and "closed: WHY" when it does not; what
// it says inside a session is compared with what it says outside (attacks_test.cc).
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

int verdict(bool open) {
  const int error = errno;
  if (open) {
    std::puts("open");
  } else {
    std::printf("closed: %s\n", ::strerrorname_np(error));
  }
  return 0;
}
long number(const char* text) {
  return std::strtol(text, nullptr, 0);
}

// --- other processes ---------------------------------------------------------------------------

int write_memory(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const int mem = ::open((proc + "/mem").c_str(), O_RDWR);
  if (mem < 0) return verdict(false);
  std::FILE* maps = std::fopen((proc + "/maps").c_str(), "r");
  unsigned long address = 0;
  if (maps == nullptr || std::fscanf(maps, "%lx", &address) != 1) return verdict(false);
  char byte = 0;
  const auto at = static_cast<off_t>(address);
  return verdict(::pread(mem, &byte, 1, at) == 1 && ::pwrite(mem, &byte, 1, at) == 1);
}

int attach(pid_t pid) {
  return verdict(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0);
}

int read_memory(pid_t pid) {  // any address will do: EFAULT already means permission
  char byte = 0;
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(4096), 1};
  const bool permitted = ::process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1 || errno == EFAULT;
  return verdict(permitted);
}

int take_descriptor(pid_t pid) {
  const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  return verdict(pidfd >= 0 && ::syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0);
}

int look_into_descriptors(pid_t pid) {
  return verdict(::opendir(("/proc/" + std::to_string(pid) + "/fd").c_str()) != nullptr);
}

int starve(pid_t pid) {
  rlimit now{};
  if (::prlimit(pid, RLIMIT_NOFILE, nullptr, &now) != 0) return verdict(false);
  return verdict(::prlimit(pid, RLIMIT_NOFILE, &now, nullptr) == 0);
}

int slow_down(pid_t pid) {
  return verdict(::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 19) == 0);
}

int see(const char* name) {
  DIR* proc = ::opendir("/proc");
  errno = ENOENT;
  while (const dirent* entry = ::readdir(proc)) {
    std::FILE* comm = std::fopen((std::string("/proc/") + entry->d_name + "/comm").c_str(), "r");
    char found[64] = {};
    if (comm == nullptr) continue;
    const bool same = std::fscanf(comm, "%63s", found) == 1 && std::strcmp(found, name) == 0;
    std::fclose(comm);
    if (same) return verdict(true);
  }
  errno = ENOENT;
  return verdict(false);
}

int hold(const char* name) {  // a process that others may look for
  ::prctl(PR_SET_NAME, name);
  (void)!::write(1, "holding\n", 8);
  for (;;) ::pause();
}

// --- terminals ---------------------------------------------------------------------------------

int type_into_terminal(unsigned long request) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  int unlock = 0, index = 0;
  if (master < 0 || ::ioctl(master, TIOCSPTLCK, &unlock) != 0 ||
      ::ioctl(master, TIOCGPTN, &index) != 0) {
    return verdict(false);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    const int slave = ::open(("/dev/pts/" + std::to_string(index)).c_str(), O_RDWR);
    if (slave < 0 || ::ioctl(slave, TIOCSCTTY, 0) != 0) ::_exit(verdict(false));
    char typed[2] = {'\n', 0};
    const bool sent = ::syscall(SYS_ioctl, slave, request, typed) == 0;
    const int error = errno;
    pollfd ready{slave, POLLIN, 0};
    const bool arrived = ::poll(&ready, 1, 200) == 1;
    errno = error;
    verdict(sent && arrived);
    std::fflush(stdout);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return 0;
}

// --- the kernel --------------------------------------------------------------------------------

int clone_with(unsigned long flags) {
  const long pid = ::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) ::_exit(0);
  if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return verdict(pid > 0);
}

int clone3_with(unsigned long flags) {
  unsigned long arguments[11] = {flags, 0, 0, 0, SIGCHLD};
  const long pid = ::syscall(SYS_clone3, arguments, 88);
  if (pid == 0) ::_exit(0);
  return verdict(pid > 0);
}

int open_socket(long family, long type, long protocol) {
  return verdict(::syscall(SYS_socket, family, type, protocol) >= 0);
}

int mount_something() {
  return verdict(::unshare(CLONE_NEWNS) == 0 &&
                 ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                 ::mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0);
}

int load_bpf() {
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = attr.value_size = 4;
  attr.max_entries = 1;
  return verdict(::syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) >= 0);
}

int count_events() {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  return verdict(::syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0);
}

int set_up_ring() {
  unsigned char parameters[120] = {};
  return verdict(::syscall(SYS_io_uring_setup, 4, parameters) >= 0);
}

int call_i386() {
  long result = 20;  // getpid of that table
  __asm__ volatile("int $0x80" : "+a"(result)::"memory");
  return verdict(result > 0);
}

int call_x32() {
  ::syscall(0x40000000L + SYS_getpid);
  std::puts("alive");
  return 0;
}

int filter_more() {
  return verdict(::syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, nullptr) == 0 ||
                 errno == EFAULT);
}

// --- files, memory, processes, network ---------------------------------------------------------

int read_file(const char* path) {
  char byte = 0;
  const int fd = ::open(path, O_RDONLY);
  return verdict(fd >= 0 && ::read(fd, &byte, 1) == 1);
}

int write_file(const char* path) {
  return verdict(::open(path, O_WRONLY | O_CREAT, 0600) >= 0);
}

int replace_file(const char* path) {
  const std::string aside = std::string(path) + ".new";
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT, 0600);
  return verdict(fd >= 0 && ::rename(aside.c_str(), path) == 0);
}

int list_descriptors() {
  for (int fd = 0; fd < 4096; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::printf("%d ", fd);
  }
  std::puts("");
  return 0;
}

int fill(const char* path, long bytes) {
  const int fd = ::open(path, O_WRONLY | O_CREAT, 0600);
  const std::vector<char> block(1 << 20, 'x');
  long done = 0;
  while (fd >= 0 && done < bytes) {
    const ssize_t n = ::write(fd, block.data(), block.size());
    if (n <= 0) break;
    done += n;
  }
  const int error = errno;
  if (fd >= 0) ::unlink(path);
  errno = error;
  return verdict(done >= bytes);
}

int many_files(const char* dir, long count) {
  for (long i = 0; i < count; ++i) {
    const int fd =
        ::open((std::string(dir) + "/f" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT, 0600);
    if (fd < 0) return verdict(false);
    ::close(fd);
  }
  return verdict(true);
}

int fork_bomb(long count) {
  std::vector<pid_t> children;
  bool all = true;
  while (all && static_cast<long>(children.size()) < count) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    if (pid < 0) {
      all = false;
    } else {
      children.push_back(pid);
    }
  }
  const int error = errno;
  for (const pid_t pid : children) ::kill(pid, SIGKILL);
  for (const pid_t pid : children) ::waitpid(pid, nullptr, 0);
  errno = error;
  return verdict(all);
}

int reach(const char* address, long port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address, &to.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  return verdict(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
}

int list_interfaces() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return verdict(false);
  std::string seen = " ";
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (seen.find(std::string(" ") + i->ifa_name + " ") == std::string::npos) {
      seen += std::string(i->ifa_name) + " ";
    }
  }
  std::puts(seen.c_str());
  return 0;
}

// --- what the exec record says -----------------------------------------------------------------

// A thread flips the argument while the main thread executes: what a reader sees before the exec
// need not be what is executed. The new image appends what it really got to a file.
int race(const char* self, long rounds, const char* log) {
  for (long round = 0; round < rounds; ++round) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      static char flipping[16] = "innocent";
      std::atomic<bool> go{false};
      std::thread([&go] {
        go = true;
        for (;;) {
          std::memcpy(flipping, "malicious", 10);
          std::memcpy(flipping, "innocent\0", 10);
        }
      }).detach();
      while (!go) {
      }
      std::string name = std::to_string(round), file = log, program = self, verb = "note";
      char* argv[] = {program.data(), verb.data(), file.data(), name.data(), flipping, nullptr};
      ::execv(self, argv);
      ::_exit(1);
    }
    ::waitpid(pid, nullptr, 0);
  }
  return verdict(true);
}

int note(const char* log, const char* round, const char* value) {
  const int fd = ::open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  const std::string line = std::string(round) + ' ' + value + '\n';
  return ::write(fd, line.data(), line.size()) > 0 ? 0 : 1;
}

// Several threads execute at once; one of them wins and the others end. Then all of it again.
int exec_from_threads(const char* self, long depth) {
  if (depth == 0) return verdict(true);
  std::string left = std::to_string(depth - 1), program = self, verb = "exec-threads";
  for (int started = 0; started < 4;) {
    try {
      std::thread([&] {
        char* argv[] = {program.data(), verb.data(), left.data(), nullptr};
        ::execv(self, argv);
      }).detach();
      ++started;
    } catch (const std::system_error&) {  // EAGAIN on a busy machine: the same thread again
      ::usleep(1000);
    }
  }
  for (;;) ::pause();
}

int exec_unreadable() {
  char* argv[] = {reinterpret_cast<char*>(16), nullptr};
  ::execv("/bin/true", argv);
  return verdict(false);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const char* first = argc > 2 ? argv[2] : "";
  const char* second = argc > 3 ? argv[3] : "";
  const auto pid = static_cast<pid_t>(number(first));
  if (verb == "write-memory") return write_memory(pid);
  if (verb == "ptrace") return attach(pid);
  if (verb == "read-memory") return read_memory(pid);
  if (verb == "pidfd-getfd") return take_descriptor(pid);
  if (verb == "proc-fd") return look_into_descriptors(pid);
  if (verb == "prlimit") return starve(pid);
  if (verb == "setpriority") return slow_down(pid);
  if (verb == "signal") return verdict(::kill(pid, 0) == 0);
  if (verb == "see") return see(first);
  if (verb == "hold") return hold(first);
  if (verb == "tiocsti") return type_into_terminal(std::strtoul(first, nullptr, 0));
  if (verb == "unshare") return verdict(::unshare(static_cast<int>(number(first))) == 0);
  if (verb == "clone") return clone_with(std::strtoul(first, nullptr, 0));
  if (verb == "clone3") return clone3_with(std::strtoul(first, nullptr, 0));
  if (verb == "socket" && argc > 4)
    return open_socket(number(first), number(second), number(argv[4]));
  if (verb == "mount") return mount_something();
  if (verb == "io-uring") return set_up_ring();
  if (verb == "keyctl") return verdict(::syscall(SYS_keyctl, 0, -3, 1) >= 0);
  if (verb == "bpf") return load_bpf();
  if (verb == "perf") return count_events();
  if (verb == "userfaultfd") return verdict(::syscall(SYS_userfaultfd, 1) >= 0);
  if (verb == "seccomp") return filter_more();
  if (verb == "int80") return call_i386();
  if (verb == "x32") return call_x32();
  if (verb == "read") return read_file(first);
  if (verb == "write") return write_file(first);
  if (verb == "replace") return replace_file(first);
  if (verb == "descriptors") return list_descriptors();
  if (verb == "fill") return fill(first, number(second));
  if (verb == "files") return many_files(first, number(second));
  if (verb == "fork-bomb") return fork_bomb(number(first));
  if (verb == "connect") return reach(first, number(second));
  if (verb == "interfaces") return list_interfaces();
  if (verb == "race") return race(argv[0], number(first), second);
  if (verb == "note" && argc > 4) return note(first, second, argv[4]);
  if (verb == "exec-threads") return exec_from_threads(argv[0], number(first));
  if (verb == "exec-unreadable") return exec_unreadable();
  return 2;
}
