#include "guard/seal.h"

#include <errno.h>
#include <linux/quota.h>
#include <seccomp.h>
#include <sys/capability.h>
#include <sys/prctl.h>

#include <array>

namespace oqto::guard {
namespace {

constexpr std::array kCapabilities{
    CAP_SETUID, CAP_SETGID,  // each process gets a uid of its own
    CAP_SETPCAP,             // to drop the bounding set, here
    CAP_CHOWN, CAP_FOWNER,   // new directories of tenants
    CAP_KILL,                // processes of other uids
    CAP_SYS_ADMIN,           // network namespaces of sessions
    CAP_NET_ADMIN,           // lo and one route in them
    CAP_NET_BIND_SERVICE,    // ports 53 and 80 in them
    CAP_NET_RAW,             // a socket in them that shows what is refused
};

// Filters are inherited, and what builds sandboxes below us needs mount, clone, open_tree, move_mount
// and their like; so this one names what nobody below may have. The sessions' own filter is an allow-list (policies/).
constexpr std::array kForbidden{
    "kexec_load",    "kexec_file_load", "init_module",       "finit_module",  "delete_module",
    "bpf",           "perf_event_open", "reboot",            "swapon",        "swapoff",
    "settimeofday",  "clock_settime",   "clock_adjtime",     "adjtimex",      "acct",
    "quotactl",      "open_by_handle_at", "name_to_handle_at",
    "add_key",       "keyctl",          "request_key",       "userfaultfd",   "io_uring_setup",
    "io_uring_enter", "io_uring_register", "iopl",           "ioperm",        "modify_ldt",
    "lookup_dcookie", "vhangup",        "syslog",            "kcmp",          "migrate_pages",
    "move_pages",    "process_madvise", "fanotify_init",     "uselib",        "sysfs",
    "ustat",         "nfsservctl",      "process_vm_writev", "pidfd_getfd",   "fsopen",
    "fsmount",       "fsconfig",        "fspick",            "memfd_secret",  "process_mrelease",
    "vmsplice",
};

Status keep_only_capabilities() {
  for (int cap = 0; ::cap_get_bound(cap) >= 0; ++cap) {
    bool kept = false;
    for (const int wanted : kCapabilities) kept = kept || wanted == cap;
    if (!kept && ::cap_drop_bound(cap) != 0) return fail_errno("cap_drop_bound");
  }
  const cap_t caps = ::cap_init();
  if (caps == nullptr) return fail_errno("cap_init");
  const int count = static_cast<int>(kCapabilities.size());
  const bool done = ::cap_set_flag(caps, CAP_PERMITTED, count, kCapabilities.data(), CAP_SET) == 0 &&
                    ::cap_set_flag(caps, CAP_EFFECTIVE, count, kCapabilities.data(), CAP_SET) == 0 &&
                    ::cap_set_proc(caps) == 0;
  (void)::cap_free(caps);
  if (!done) return fail_errno("cap_set_proc: a needed capability is missing; run as full root");
  return {};
}

// The limits of a tenant's share of the disk are set and read; to switch quota off is not for us. Numbers of
// commands: Q_GETQUOTA < Q_SETQUOTA, each with the type in its last byte, of which the project's is the last.
int allow_limits_only(scmp_filter_ctx filter) {
  const int call = ::seccomp_syscall_resolve_name("quotactl_fd");
  if (call == __NR_SCMP_ERROR) return 0;
  const auto project = [](unsigned command) { return scmp_datum_t{QCMD(command, PRJQUOTA)} & 0xffff'ffff; };
  const auto refuse = [&](scmp_compare how, scmp_datum_t command) {
    return ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 1, SCMP_CMP(1, how, command));
  };
  int error = refuse(SCMP_CMP_LT, project(Q_GETQUOTA));
  for (const scmp_datum_t type : {1UL, 2UL}) {
    if (error == 0) error = refuse(SCMP_CMP_EQ, project(Q_SETQUOTA) - type);
  }
  return error == 0 ? refuse(SCMP_CMP_GT, project(Q_SETQUOTA)) : error;
}

Status forbid_system_calls() {
  const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return fail(Errc::io, "seccomp_init");
  int error = 0;
  for (const char* name : kForbidden) {
    const int call = ::seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR) continue;  // unknown to this libseccomp: no such call to make
    // ENOSYS rather than EPERM: callers such as libuv fall back.
    if (error == 0) error = ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0);
  }
  if (error == 0) error = allow_limits_only(filter);
  if (error == 0) error = ::seccomp_load(filter);
  ::seccomp_release(filter);
  if (error != 0) {
    errno = -error;
    return fail_errno("seccomp");
  }
  return {};
}

}  // namespace

Status seal_guard() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("prctl(NO_NEW_PRIVS)");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno("prctl(DUMPABLE)");
  TRY(keep_only_capabilities());
  return forbid_system_calls();
}

}  // namespace oqto::guard
