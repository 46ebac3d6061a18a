// Preloaded into our programs by a test: the wall clock is off by the milliseconds that stand in the file
// $OQTO_CLOCK, at every moment.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* offset_ms;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("OQTO_CLOCK");
  const int fd = path == NULL ? -1 : open(path, O_RDONLY);
  if (fd < 0) return;
  void* at = mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) offset_ms = at;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  const int result = (int)syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME && offset_ms != NULL) time->tv_sec += *offset_ms / 1000;
  return result;
}
