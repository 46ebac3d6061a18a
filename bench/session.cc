// A hosted session from the launch plan to ready, and a further program in a live one, request to
// exit; milliseconds, one line per round: READY PROGRAM. As root; ROUNDS is the one argument.
#include <time.h>

#include <cstdio>
#include <cstdlib>

#include "sandbox/launch/test_session.h"

namespace {

double now_ms() {
  timespec time{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
  for (int round = 0; round < rounds; ++round) {
    oqto::sandbox::TestSession session({});
    const double start = now_ms();
    const std::string why = session.start();
    const double ready = now_ms();
    if (!why.empty()) {
      (void)std::fprintf(stderr, "bench_session: %s\n", why.c_str());
      return 1;
    }
    (void)session.run({"/usr/bin/true"});
    const double warm = now_ms();
    (void)session.run({"/usr/bin/true"});
    std::printf("%.2f %.2f\n", ready - start, now_ms() - warm);
  }
  return 0;
}
