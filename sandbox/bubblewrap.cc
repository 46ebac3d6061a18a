#include "sandbox/bubblewrap.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/explain.h"
#include "sandbox/launch_plan.h"

namespace oqto::sandbox {
namespace {

constexpr const char* kProgram = "/usr/bin/bwrap";
constexpr int kFirstKept = 20;  // above everything that Inherit::as names

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/usr/sbin/nologin\n"
    "agent:x:1000:1000:agent:/home/agent:/bin/bash\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
constexpr std::string_view kGroup = "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n";
constexpr std::string_view kNsswitch =
    "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\n";
constexpr std::string_view kHosts =
    "127.0.0.1 localhost oqto\n::1 localhost\n198.18.0.2 models.oqto\n";
constexpr std::string_view kResolv = "nameserver 198.18.0.1\noptions timeout:2 attempts:1\n";

// Public files of the host's /etc that programs in /usr need. Anything else in /etc stays outside.
constexpr const char* kHostFiles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/alternatives",
                                      "/etc/ld.so.cache", "/etc/localtime"};

// --- in the child, before bubblewrap -----------------------------------------------------------

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

Status make_shared_dir(const char* path) {
  if (::mkdir(path, 0700) != 0 || ::chmod(path, 01777) != 0) return fail_errno("mkdir in /dev/shm");
  return {};
}

// bubblewrap cannot limit the number of files in a tmpfs. So it starts on a stage: a user and mount
// namespace whose /dev/shm is a tmpfs with both limits, from which it binds /tmp and /dev/shm.
Status enter_stage(const policies::Limits& limits) {
  const std::string uid = std::to_string(::getuid());
  const std::string gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    return fail_errno("unshare: this host does not let users create namespaces");
  }
  // New credentials made us undumpable, which would make /proc/self root's.
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  // When memory runs out, a session goes before any part of the host. It cannot lower this again.
  TRY(write_file("/proc/self/oom_score_adj", "1000"));
  TRY(write_file("/proc/self/setgroups", "deny"));
  TRY(write_file("/proc/self/uid_map", uid + ' ' + uid + " 1"));
  TRY(write_file("/proc/self/gid_map", gid + ' ' + gid + " 1"));
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return fail_errno("mount(MS_PRIVATE)");
  }
  const std::string options = "mode=0700,size=" + std::to_string(limits.tmp_bytes) +
                              ",nr_inodes=" + std::to_string(limits.tmp_inodes);
  if (::mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return fail_errno("mount of a tmpfs");
  }
  TRY(make_shared_dir("/dev/shm/tmp"));
  return make_shared_dir("/dev/shm/shm");
}

// As low as the policy says, or lower if the guard's limit for this process is.
Status limit(__rlimit_resource resource, rlim_t value) {
  rlimit now{};
  if (::getrlimit(resource, &now) != 0) return fail_errno("getrlimit");
  now.rlim_cur = now.rlim_max = std::min(value, now.rlim_max);
  if (::setrlimit(resource, &now) != 0) return fail_errno("setrlimit");
  return {};
}

Status take_limits(const policies::Limits& limits) {
  TRY(limit(RLIMIT_NPROC, limits.max_processes));
  TRY(limit(RLIMIT_NOFILE, limits.open_files));
  TRY(limit(RLIMIT_FSIZE, limits.file_bytes));
  return limit(RLIMIT_CORE, 0);
}

Status place(const std::vector<Bubblewrap::Inherit>& inherit, const std::vector<Fd>& kept) {
  for (const Fd& fd : kept) {
    if (::fcntl(fd.get(), F_SETFD, 0) != 0) return fail_errno("fcntl(F_SETFD)");
  }
  // By way of high numbers: a target may be another's source.
  std::vector<int> copies;
  for (const auto& [from, as] : inherit) {
    copies.push_back(::fcntl(from, F_DUPFD_CLOEXEC, kFirstKept));
    if (copies.back() < 0) return fail_errno("fcntl(F_DUPFD)");
  }
  for (std::size_t i = 0; i < inherit.size(); ++i) {
    if (::dup2(copies[i], inherit[i].as) < 0) return fail_errno("dup2");
  }
  return {};
}

}  // namespace

Result<Bubblewrap> Bubblewrap::base(bool own_network) {
  Bubblewrap self;
  self.add({kProgram, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
            "--unshare-cgroup"});
  if (own_network) self.add({"--unshare-net"});  // a session is already in the one the guard made
  const std::string id = std::to_string(kInsideId);
  self.add({"--disable-userns", "--uid", id, "--gid", id, "--hostname", "oqto", "--cap-drop", "ALL",
            "--die-with-parent", "--new-session", "--clearenv"});
  self.add({"--ro-bind", "/usr", "/usr"});
  for (const char* name : {"bin", "lib", "lib64", "sbin"}) {
    self.add({"--symlink", std::string("usr/") + name, std::string("/") + name});
  }
  TRY(self.add_file("/etc/passwd", kPasswd));
  TRY(self.add_file("/etc/group", kGroup));
  TRY(self.add_file("/etc/nsswitch.conf", kNsswitch));
  TRY(self.add_file("/etc/hosts", kHosts));
  TRY(self.add_file("/etc/resolv.conf", kResolv));
  TRY(self.add_file("/etc/hostname", "oqto\n"));
  for (const char* path : kHostFiles) self.add({"--ro-bind-try", path, path});
  self.add({"--proc", "/proc", "--dev", "/dev", "--bind", "/dev/shm/shm", "/dev/shm", "--bind",
            "/dev/shm/tmp", "/tmp", "--dir", "/run", "--dir", "/var", "--symlink", "/tmp",
            "/var/tmp", "--dir", "/opt"});
  return self;
}

void Bubblewrap::add(std::initializer_list<std::string> words) {
  words_.insert(words_.end(), words);
}

Result<int> Bubblewrap::keep(Fd fd) {
  Fd high = Fd::adopt(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstKept));
  if (!high) return fail_errno("fcntl(F_DUPFD)");
  return kept_.emplace_back(std::move(high)).get();
}

Status Bubblewrap::add_bind_fd(const Fd& dir, const std::string& dest) {
  Fd copy = Fd::adopt(::fcntl(dir.get(), F_DUPFD_CLOEXEC, kFirstKept));
  if (!copy) return fail_errno("fcntl(F_DUPFD)");
  add({"--bind-fd", std::to_string(copy.get()), dest});
  kept_.push_back(std::move(copy));
  return {};
}

Status Bubblewrap::add_read_only_fd(const Fd& file, const std::string& dest) {
  constexpr std::size_t kMaxBytes = 1024 * 1024;
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  return add_file(dest, TRY(sys::read_all(file, kMaxBytes)));
}

Status Bubblewrap::add_file(const std::string& dest, std::string_view content) {
  const int number = TRY(keep(TRY(sys::sealed_memfd("oqto-file", content))));
  add({"--perms", "0444", "--ro-bind-data", std::to_string(number), dest});
  return {};
}

void Bubblewrap::add_end() {
  add({"--remount-ro", "/dev", "--remount-ro", "/", "--chdir", kInsideWorkspace, "--"});
}

Result<pid_t> Bubblewrap::start(const policies::Limits& limits,
                                const std::vector<Inherit>& inherit) const {
  std::vector<char*> argv;
  for (const std::string& word : words_) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid > 0) return pid;

  const auto become = [&]() -> Status {
    sigset_t none;
    sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return fail_errno("sigprocmask");
    TRY(place(inherit, kept_));
    ::umask(022);
    TRY(enter_stage(limits));
    TRY(take_limits(limits));
    TRY(sys::die_with_parent(parent));  // after unshare, which clears it
    ::execve(kProgram, argv.data(), environment);
    return fail_errno("execve of /usr/bin/bwrap: is the package bubblewrap installed?");
  };
  const std::string why = explain(become().error()) + '\n';
  (void)!::write(STDERR_FILENO, why.data(), why.size());  // which the parent reads
  ::_exit(1);
}

}  // namespace oqto::sandbox
