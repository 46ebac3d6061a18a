#include "relay/jail.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "base/sys.h"
#include "sandbox/seal.h"

namespace oqto::relay {
namespace {

constexpr std::size_t kMaxAddressSpace = 64 * 1024 * 1024;  // one connection, beside the assets
constexpr std::size_t kMaxDescriptors = 8;

// Moving bytes, waiting, memory, time, ending. getpid and getrandom are OpenSSL noticing a fork;
// restart_syscall is how the kernel resumes a poll after the machine slept.
constexpr int kAllowed[] = {
    SCMP_SYS(read),   SCMP_SYS(write),         SCMP_SYS(recvmsg),      SCMP_SYS(sendmsg),
    SCMP_SYS(close),  SCMP_SYS(shutdown),      SCMP_SYS(poll),         SCMP_SYS(restart_syscall),
    SCMP_SYS(brk),    SCMP_SYS(munmap),        SCMP_SYS(mremap),       SCMP_SYS(madvise),
    SCMP_SYS(alarm),  SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(getpid), SCMP_SYS(getrandom),     SCMP_SYS(futex),        SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit),   SCMP_SYS(exit_group),
};

using Context = std::unique_ptr<void, decltype([](void* context) { ::seccomp_release(context); })>;

int add_rules(scmp_filter_ctx context) {
  for (const int call : kAllowed) {
    if (const int error = ::seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 0)) return error;
  }
  // Fresh memory that is no code.
  if (const int error = ::seccomp_rule_add(
          context, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
          SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS))) {
    return error;
  }
  // recv and send: on a connected socket, naming no address.
  for (const int call : {SCMP_SYS(recvfrom), SCMP_SYS(sendto)}) {
    if (const int error =
            ::seccomp_rule_add(context, SCMP_ACT_ALLOW, call, 1, SCMP_A4(SCMP_CMP_EQ, 0))) {
      return error;
    }
  }
  return 0;
}

Status limit(__rlimit_resource resource, std::size_t value) {
  const rlimit both{value, value};
  if (::setrlimit(resource, &both) != 0) return fail_errno("setrlimit");
  return {};
}

}  // namespace

Status seal_listener() {
  const auto sealed = sandbox::seal({
      .sets = {"io", "memory", "clock", "exit", "accept"},
      .also = {"clone", "set_robust_list", "futex", "wait4", "kill",  // to fork, reap and evict
               "socketpair",                                          // the connection's channels
               "dup2", "close_range", "setrlimit", "prlimit64", "seccomp", "alarm",  // the child's
               "shutdown"},
      .may_fork = true,
  });
  if (!sealed) return std::unexpected(sealed.error());
  return {};
}

Result<ConnectionJail> ConnectionJail::prepare(std::size_t mapped_bytes) {
  const Context context(::seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (!context) return fail(Errc::io, "seccomp_init");
  if (const int error = add_rules(context.get())) {
    return std::unexpected(Error{Errc::io, "seccomp_rule_add", -error});
  }
  const Fd file = Fd::adopt(::memfd_create("relay-filter", MFD_CLOEXEC));
  if (!file) return fail_errno("memfd_create");
  if (const int error = ::seccomp_export_bpf(context.get(), file.get())) {
    return std::unexpected(Error{Errc::io, "seccomp_export_bpf", -error});
  }
  const off_t bytes = ::lseek(file.get(), 0, SEEK_END);
  if (bytes <= 0) return fail(Errc::io, "the exported filter is empty");
  ConnectionJail jail;
  jail.program_.resize(static_cast<std::size_t>(bytes) / sizeof(sock_filter));
  if (::pread(file.get(), jail.program_.data(), static_cast<std::size_t>(bytes), 0) != bytes) {
    return fail_errno("reading the exported filter");
  }
  jail.address_space_ = kMaxAddressSpace + mapped_bytes;
  return jail;
}

Status ConnectionJail::enter() const {
  TRY(limit(RLIMIT_CORE, 0));
  TRY(limit(RLIMIT_FSIZE, 0));
  TRY(limit(RLIMIT_NPROC, 0));
  TRY(limit(RLIMIT_NOFILE, kMaxDescriptors));
#ifndef OQTO_RELAY_SANITIZED  // the sanitizer maps terabytes
  TRY(limit(RLIMIT_AS, address_space_));
#endif
  const sock_fprog program{static_cast<unsigned short>(program_.size()),
                           const_cast<sock_filter*>(program_.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    return fail_errno("seccomp");
  }
  return {};
}

}  // namespace oqto::relay
