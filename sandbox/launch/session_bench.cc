// What the monitor costs: a fork and exec of a dynamic program without and with notification, a
// further program of a live session from request to its first instruction, and the single calls
// that the filter looks at. Prints one JSON object; times in microseconds.
#include <fcntl.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/sys.h"
#include "sandbox/launch/test_runner.h"

namespace {

using namespace oqto;
using namespace oqto::sandbox;

double now_us() {
  timespec time{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

struct Numbers {
  double values[4096];
  std::size_t count;
  void add(double value) {
    if (count < std::size(values)) values[count++] = value;
  }
  double at(double share) {
    std::sort(values, values + count);
    return count == 0 ? 0
                      : values[static_cast<std::size_t>(static_cast<double>(count - 1) * share)];
  }
};

// Shared with the child that measures.
Numbers& shared() {
  static auto* numbers = static_cast<Numbers*>(
      ::mmap(nullptr, sizeof(Numbers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(numbers != MAP_FAILED);
  numbers->count = 0;
  return *numbers;
}

int spawn_many(Numbers& numbers, int times) {
  char name[] = "/usr/bin/true";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  for (int i = 0; i < times; ++i) {
    const double start = now_us();
    pid_t pid = -1;
    if (::posix_spawn(&pid, name, nullptr, nullptr, argv, envp) != 0) return 1;
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return 2;
    numbers.add(now_us() - start);
  }
  return 0;
}

struct Spawning {
  double median, p90;
};
// Interleaved by the caller: a noisy neighbour then hits all alike.
Spawning spawning(FilterKind kind, bool free) {
  Numbers& numbers = shared();
  Monitored monitored{.kind = kind};
  const auto body = [&] { return spawn_many(numbers, 100); };
  CHECK((free ? run_free(body) : monitored.run(body)) == 0);
  return {numbers.at(0.5), numbers.at(0.9)};
}

void bench_spawning() {
  constexpr int kRounds = 10;
  const struct {
    const char* name;
    FilterKind kind;
    bool free;
  } rows[] = {{"unfiltered", {}, true},
              {"filtered", {.run_own_programs = true}, false},
              {"exec_recorded", {.run_own_programs = true, .notify_exec = true}, false},
              {"exec_and_open_notified",
               {.run_own_programs = true, .notify_exec = true, .notify_open = true},
               false}};
  std::vector<double> medians[std::size(rows)];
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < std::size(rows); ++i) {
      medians[i].push_back(spawning(rows[i].kind, rows[i].free).median);
    }
  }
  std::printf("  \"spawn_and_wait_true\": {");
  double base = 0;
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    std::ranges::sort(medians[i]);
    const double median = medians[i][kRounds / 2];
    if (i == 1) base = median;
    std::printf("%s\"%s\": %.0f", i == 0 ? "" : ", ", rows[i].name, median);
    if (i == 2) std::printf(", \"recorded_over_filtered\": %.2f", median / base);
  }
  std::printf("},\n");
}

void bench_further_programs() {
  Numbers& numbers = shared();
  TestRunner::with({.kind = {.run_own_programs = true, .notify_exec = true}},
                   [&](TestRunner& runner) {
                     for (std::uint32_t i = 1; i <= 1000; ++i) {
                       const double start = now_us();
                       runner.start(i, {.argv = {"/usr/bin/true"}});
                       CHECK(runner.expect<ipc::ProgramStarted>().has_value());
                       numbers.add(now_us() - start);
                       CHECK(runner.expect<ipc::ProgramExited>().has_value());
                     }
                   });
  std::printf("  \"further_program_request_to_started\": {\"median\": %.0f, \"p99\": %.0f},\n",
              numbers.at(0.5), numbers.at(0.99));
}

double best_call(void (*call)(int), int fd) {
  constexpr int kCalls = 20'000;
  double best = 1e9;
  for (int round = 0; round < 10; ++round) {
    const double start = now_us();
    for (int i = 0; i < kCalls; ++i) call(fd);
    best = std::min(best, (now_us() - start) / kCalls);
  }
  return best;
}

int call_many(Numbers& numbers) {
  const int fd = ::open("/dev/null", O_RDWR);
  numbers.add(best_call([](int) { (void)::syscall(SYS_getppid); }, fd));
  numbers.add(best_call([](int null) { (void)::ioctl(null, FIONREAD, nullptr); }, fd));
  numbers.add(best_call([](int) { (void)::close(::open("/dev/null", O_RDONLY)); }, fd));
  numbers.add(best_call([](int) { (void)::close(::socket(AF_UNIX, SOCK_STREAM, 0)); }, fd));
  return 0;
}

void bench_calls() {
  const auto print = [](const char* name, Numbers& numbers, const char* end) {
    std::printf(
        "    \"%s\": {\"getppid\": %.3f, \"ioctl\": %.3f, \"open_close\": %.3f, "
        "\"socket_close\": %.3f}%s\n",
        name, numbers.values[0], numbers.values[1], numbers.values[2], numbers.values[3], end);
  };
  std::printf("  \"calls\": {\n");
  Numbers& numbers = shared();
  CHECK(run_free([&] { return call_many(numbers); }) == 0);
  print("unfiltered", numbers, ",");
  numbers.count = 0;
  Monitored monitored{.kind = {.run_own_programs = true, .notify_exec = true}};
  CHECK(monitored.run([&] { return call_many(numbers); }) == 0);
  print("filtered", numbers, "\n  },");
}

void bench_refusals() {
  Numbers& numbers = shared();
  Monitored monitored{.kind = {.run_own_programs = true}};
  CHECK(monitored.run([&] {
    for (int i = 0; i < 500; ++i) {
      const double start = now_us();
      (void)::syscall(SYS_swapoff, nullptr);
      numbers.add(now_us() - start);
    }
    return 0;
  }) == 0);
  std::printf("  \"refused_call\": {\"median\": %.0f}\n", numbers.at(0.5));
}

}  // namespace

int main() {
  std::printf("{\n");
  bench_spawning();
  bench_further_programs();
  bench_calls();
  bench_refusals();
  std::printf("}\n");
  return 0;
}
