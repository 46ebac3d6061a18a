#include "sandbox/init/filters.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // Linux 5.19
#endif

namespace oqto::sandbox {

Result<Fd> load_session_filter(FilterKind kind) {
  const Filter filter = session_filter(kind);
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = const_cast<sock_filter*>(filter.data())};
  // Killable: a signal to the waiting task must not make the notification appear twice.
  constexpr unsigned long kFlags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  const long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, &program);
  if (listener < 0) return fail_errno("seccomp(NEW_LISTENER), which needs Linux 5.19 or later");
  return Fd::adopt(static_cast<int>(listener));
}

}  // namespace oqto::sandbox
