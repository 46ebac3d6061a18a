#include "sandbox/world/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <type_traits>

#include "base/sys.h"
#include "sandbox/loopback.h"

namespace oqto::sandbox {
namespace {

constexpr int kOwned = CLONE_NEWUSER | CLONE_NEWIPC;

Status write_file(const char* path, const std::string& text) {
  return sys::write_all(TRY(sys::open_file(path, O_WRONLY)), text);
}

// Half of what the kernel lets this user watch in all: the other half stays with who started this.
Status bound_watches() {
  constexpr struct {
    const char *whole, *own;
  } kLimits[] = {
      {"/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances"},
      {"/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"}};
  for (const auto& [whole, own] : kLimits) {
    const std::string text = TRY(sys::read_all(TRY(sys::open_file(whole, O_RDONLY)), 32));
    TRY(write_file(own, std::to_string(std::strtol(text.c_str(), nullptr, 10) / 2)));
  }
  return {};
}

// New credentials made us undumpable, which would make /proc/self root's.
Status stay_dumpable() {
  if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  return {};
}

// Some schedulers leave a new process on its parent's processor for a while: then nothing is
// gained.
void keep_off_this_processor(pid_t pid) {
  cpu_set_t allowed;
  if (::sched_getaffinity(pid, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  CPU_CLR(static_cast<unsigned>(::sched_getcpu()), &allowed);
  (void)::sched_setaffinity(pid, sizeof allowed, &allowed);
}

[[noreturn]] void wait_beside(const Fd& ready, pid_t parent) {
  static_assert(std::is_trivially_copyable_v<Error>);
  Status status = make_namespaces(true);
  if (status) status = sys::die_with_parent(parent);  // after unshare, which clears it
  // An empty text is success; it is the same in all processes of this program.
  const Error said = status ? Error{} : status.error();
  (void)sys::write_all(ready, std::as_bytes(std::span(&said, 1)));
  if (!status) ::_exit(1);
  for (;;) (void)::pause();
}

}  // namespace

Status make_namespaces(bool network) {
  const std::string uid = std::to_string(::getuid());
  const std::string gid = std::to_string(::getgid());
  if (::unshare(kOwned | (network ? CLONE_NEWNET : 0)) != 0) {
    return fail_errno("unshare: this host does not let users create namespaces");
  }
  TRY(stay_dumpable());
  TRY(write_file("/proc/self/setgroups", "deny"));
  TRY(write_file("/proc/self/uid_map", uid + ' ' + uid + " 1"));
  TRY(write_file("/proc/self/gid_map", gid + ' ' + gid + " 1"));
  // PID 1 makes one more. Nothing in it makes another, whatever else it is permitted.
  TRY(write_file("/proc/sys/user/max_user_namespaces", "1"));
  TRY(bound_watches());
  return network ? raise_lo() : Status();
}

Result<Namespaces> Namespaces::begin() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  Namespaces made;
  made.ready_ = Fd::adopt(ends[0]);
  const Fd theirs = Fd::adopt(ends[1]);
  const pid_t parent = ::getpid();
  made.pid_ = ::fork();
  if (made.pid_ < 0) return fail_errno("fork");
  if (made.pid_ == 0) wait_beside(theirs, parent);
  keep_off_this_processor(made.pid_);
  made.process_ = TRY(sys::pidfd_open(made.pid_));
  return made;
}

Namespaces& Namespaces::operator=(Namespaces&& other) noexcept {
  end();
  pid_ = std::exchange(other.pid_, -1);
  process_ = std::move(other.process_);
  ready_ = std::move(other.ready_);
  return *this;
}

Status join_namespaces(const Fd& process, const Fd& ready) {
  Error said;
  if (::read(ready.get(), &said, sizeof said) != sizeof said) {
    return fail(Errc::unavailable, "the namespaces were not made");
  }
  if (*said.what != '\0') return std::unexpected(said);
  if (::setns(process.get(), kOwned | CLONE_NEWNET) != 0) return fail_errno("setns");
  (void)sys::pidfd_kill(process, SIGKILL);
  return stay_dumpable();
}

void Namespaces::end() {
  if (!process_) return;
  (void)sys::pidfd_kill(process_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
  process_.reset();
}

}  // namespace oqto::sandbox
