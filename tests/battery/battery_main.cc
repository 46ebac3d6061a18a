// Runs every probe in a process of its own and prints one JSON object per line.
#include "tests/battery/battery.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace {

using namespace battery;
constexpr unsigned kMostSeconds = 10;

struct Outcome {
  bool open = false;
  int error = 0;
};

// What ends the probe's process without an answer, a filter's kill for one, is a no.
Outcome attempt(const Probe& probe, const Host& host, int& signal) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t pid = ::fork();
  if (pid < 0) return {};
  if (pid == 0) {
    ::alarm(kMostSeconds);
    ::close(ends[0]);
    errno = 0;
    Outcome outcome;
    outcome.open = probe.run(host);
    outcome.error = outcome.open ? 0 : errno;
    (void)!::write(ends[1], &outcome, sizeof outcome);
    ::_exit(0);
  }
  ::close(ends[1]);
  Outcome outcome;
  if (::read(ends[0], &outcome, sizeof outcome) != sizeof outcome) outcome = {};
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return outcome;
}

void report(const Probe& probe, const Host& host) {
  int signal = 0;
  const Outcome outcome = attempt(probe, host, signal);
  const char* why = outcome.open ? "" : ::strerrorname_np(outcome.error);
  if (signal != 0) why = ::sigabbrev_np(signal);
  std::printf("{\"probe\": \"%s\", \"state\": \"%s\", \"errno\": \"%s\"}\n", probe.name,
              outcome.open ? "open" : "closed", why == nullptr ? "" : why);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) {  // also what the probes of executing run: nothing
    std::puts("battery [--pid N] [--abstract NAME] [--port N] [--beside PATH]");
    return std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  Host host;
  host.self = argv[0];
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i];
    std::string* value = key == "--pid"        ? &host.pid
                         : key == "--abstract" ? &host.abstract
                         : key == "--port"     ? &host.port
                         : key == "--beside"   ? &host.beside
                                               : nullptr;
    if (value == nullptr) {
      (void)std::fprintf(stderr, "battery: unknown option %s\n", argv[i]);
      return 2;
    }
    *value = argv[i + 1];
  }
  for (const auto& family :
       {kernel_probes(), process_probes(), file_probes(), network_probes()}) {
    for (const Probe& probe : family) report(probe, host);
  }
  return 0;
}
