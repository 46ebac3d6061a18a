// Preloaded into oqto-auditd by a test: after $OQTO_SYNCS calls, fdatasync fails as a broken disk does.
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd) {
  static int left = -1;
  if (left < 0) left = atoi(getenv("OQTO_SYNCS"));
  if (left-- > 0) return (int)syscall(SYS_fdatasync, fd);
  left = 0;
  errno = EIO;
  return -1;
}
