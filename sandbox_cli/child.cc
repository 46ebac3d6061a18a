#include "sandbox_cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"

namespace oqto::sandbox_cli {
namespace {

constexpr std::size_t kMaxOutput = 256 * 1024;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

Ran run_and_read(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                 int timeout_ms) {
  Ran ran;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ran;
  const Fd from = Fd::adopt(ends[0]);
  Fd to = Fd::adopt(ends[1]);
  const auto words = pointers(argv);
  const auto variables = pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (sys::die_with_parent(parent) && ::dup2(null, 0) == 0 && ::dup2(to.get(), 1) == 1 &&
        ::dup2(to.get(), 2) == 2) {
      ::execve(words[0], words.data(), variables.data());
    }
    ::_exit(127);
  }
  if (pid < 0) return ran;
  to.reset();
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  for (;;) {
    const std::uint64_t now = sys::monotonic_ms();
    pollfd entry{from.get(), POLLIN, 0};
    if (now >= deadline || ran.output.size() > kMaxOutput) break;
    if (::poll(&entry, 1, static_cast<int>(deadline - now)) <= 0) continue;
    char piece[4096];
    const ssize_t n = ::read(from.get(), piece, sizeof piece);
    if (n <= 0) break;
    ran.output.append(piece, static_cast<std::size_t>(n));
  }
  if (sys::monotonic_ms() >= deadline) (void)::kill(pid, SIGKILL);
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return ran;
  constexpr int kSignalled = 128;
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalled + WTERMSIG(status);
  return ran;
}

}  // namespace oqto::sandbox_cli
