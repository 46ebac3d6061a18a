#include "sandbox/seal.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>

#include "base/fd.h"
#include "policies/syscall_sets.h"
#include "sandbox/world/landlock_abi.h"

namespace oqto::sandbox {
namespace {

Status drop_capabilities() {
  const cap_t none = ::cap_init();
  const int failed = none == nullptr ? -1 : ::cap_set_proc(none);
  (void)::cap_free(none);
  if (failed != 0) return fail_errno("cap_set_proc");
  return {};
}

Status allow_beneath(const Fd& ruleset, const std::string& path, std::uint64_t rights) {
  const Fd dir = Fd::adopt(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!dir) return fail_errno("a path of the seal cannot be opened");
  struct stat status {};
  if (::fstat(dir.get(), &status) != 0) return fail_errno("fstat");
  // The kernel refuses rights that only a directory can have on anything else.
  if (!S_ISDIR(status.st_mode)) {
    rights &= landlock::kReadFile | landlock::kWriteFile | landlock::kTruncate;
  }
  landlock::PathBeneathAttr rule;
  rule.allowed_access = rights;
  rule.parent_fd = dir.get();
  if (landlock::add_path_rule(ruleset.get(), rule) != 0) return fail_errno("landlock_add_rule");
  return {};
}

Status restrict_files(const Seal& wanted) {
  using namespace landlock;
  const int abi = landlock_abi();
  if (abi < 1) return fail(Errc::unavailable, "this kernel has no Landlock: it needs 5.13 or later");
  RulesetAttr attr;
  attr.handled_access_fs = fs_rights(abi);
  if (abi >= 4 && !wanted.outbound_tcp) attr.handled_access_net = kNetBindTcp | kNetConnectTcp;
  if (abi >= 6) attr.scoped = kScopeAbstractUnix | kScopeSignal;
  const Fd ruleset = Fd::adopt(static_cast<int>(create_ruleset(&attr, attr_size(abi), 0)));
  if (!ruleset) return fail_errno("landlock_create_ruleset");
  constexpr std::uint64_t kRead = kReadFile | kReadDir;
  const std::uint64_t write = (kRead | kWriteFile | kRemoveDir | kRemoveFile | kMakeDir | kMakeReg |
                               kRefer | kTruncate) & attr.handled_access_fs;
  for (const std::string& path : wanted.read_beneath) TRY(allow_beneath(ruleset, path, kRead));
  for (const std::string& path : wanted.write_beneath) TRY(allow_beneath(ruleset, path, write));
  if (restrict_self(ruleset.get()) != 0) return fail_errno("landlock_restrict_self");
  return {};
}

struct Filter {
  scmp_filter_ctx context = ::seccomp_init(SCMP_ACT_KILL_PROCESS);
  Filter() = default;
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() { ::seccomp_release(context); }
};

Status add(const Filter& filter, std::uint32_t action, int call,
           std::initializer_list<scmp_arg_cmp> arguments = {}) {
  const int error = ::seccomp_rule_add_array(filter.context, action, call,
                                             static_cast<unsigned>(arguments.size()),
                                             arguments.begin());
  if (error != 0) {
    errno = -error;
    return fail_errno("seccomp_rule_add");
  }
  return {};
}

// The calls that are allowed only with certain arguments, wherever a set names them.
Status allow_checked(const Filter& filter, int call, const Seal& wanted) {
  if (call == SCMP_SYS(mmap) || call == SCMP_SYS(mprotect)) {  // no new code
    return add(filter, SCMP_ACT_ALLOW, call, {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
  }
  if (call == SCMP_SYS(clone) && wanted.may_fork) {  // exactly what libc's fork() asks for
    constexpr scmp_datum_t kFork = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    return add(filter, SCMP_ACT_ALLOW, call, {SCMP_A0(SCMP_CMP_EQ, kFork)});
  }
  if (call == SCMP_SYS(clone)) {  // threads only
    return add(filter, SCMP_ACT_ALLOW, call,
               {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)});
  }
  if (call == SCMP_SYS(clone3)) {  // its flags cannot be seen: libc falls back to clone
    return add(filter, SCMP_ACT_ERRNO(ENOSYS), call);
  }
  if (call == SCMP_SYS(prctl)) {  // pthread_setname_np
    return add(filter, SCMP_ACT_ALLOW, call, {SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)});
  }
  if (call == SCMP_SYS(setsockopt)) {  // no option 13, in the 32 bits that the kernel looks at:
    // close() of a lingering connection waits, even if it is a receiver of the descriptor who closes.
    static_assert(SO_LINGER == 13);
    for (scmp_datum_t bit = 1; bit <= 1U << 31; bit <<= 1) {
      TRY(add(filter, SCMP_ACT_ALLOW, call,
              {SCMP_A2(SCMP_CMP_MASKED_EQ, bit, ~scmp_datum_t{SO_LINGER} & bit)}));
    }
    return {};
  }
  if (call == SCMP_SYS(socketpair)) {
    return add(filter, SCMP_ACT_ALLOW, call, {SCMP_A0(SCMP_CMP_EQ, AF_UNIX)});
  }
  if (call == SCMP_SYS(socket)) {
    if (!wanted.outbound_tcp) return fail(Errc::invalid, "the set `outbound` needs outbound_tcp");
    for (const int family : {AF_INET, AF_INET6}) {
      TRY(add(filter, SCMP_ACT_ALLOW, call,
              {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family))}));
    }
    // The resolver asks for these and lives without them.
    TRY(add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, {SCMP_A0(SCMP_CMP_EQ, AF_UNIX)}));
    return add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), call, {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK)});
  }
  return add(filter, SCMP_ACT_ALLOW, call);
}

Status allow_call(const Filter& filter, std::string_view name, const Seal& wanted) {
  const int call = ::seccomp_syscall_resolve_name(std::string(name).c_str());
  if (call == __NR_SCMP_ERROR) return fail(Errc::invalid, "libseccomp does not know a system call");
  return allow_checked(filter, call, wanted);
}

Status restrict_syscalls(const Seal& wanted) {
  const Filter filter;
  if (filter.context == nullptr) return fail(Errc::io, "seccomp_init");
  // Non-blocking mode, as Asio sets it; to stdio's question whether this is a terminal: no.
  TRY(add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {SCMP_A1(SCMP_CMP_EQ, FIONBIO)}));
  TRY(add(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), {SCMP_A1(SCMP_CMP_NE, FIONBIO)}));
  for (const std::string_view name : wanted.sets) {
    const auto calls = policies::syscall_set(name);
    if (calls.empty()) return fail(Errc::invalid, "the seal names an unknown system call set");
    for (const std::string_view call : calls) TRY(allow_call(filter, call, wanted));
  }
  for (const std::string_view call : wanted.also) TRY(allow_call(filter, call, wanted));
  const int error = ::seccomp_load(filter.context);
  if (error != 0) {
    errno = -error;
    return fail_errno("seccomp_load");
  }
  return {};
}

}  // namespace

int landlock_abi() {
  const long abi = landlock::create_ruleset(nullptr, 0, landlock::kCreateRulesetVersion);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

Result<Sealed> seal(const Seal& wanted) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  TRY(drop_capabilities());
  TRY(restrict_files(wanted));
  TRY(restrict_syscalls(wanted));
  return Sealed();
}

}  // namespace oqto::sandbox
