// Looking at another process from outside: what it asks to execute, and what it then is. Everything
// read here belongs to the agent, changes while it is read, and may be of any size: reads are
// bounded, and nothing is trusted beyond being recorded.
#pragma once
#include <linux/seccomp.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxArguments = 256;
constexpr std::size_t kMaxArgumentBytes = 20 * 1024;  // all of them; the rest is cut, and said so

struct ExecRequest {  // before: what the caller's memory held when it was looked at
  std::vector<std::string> argv;
  bool truncated = false;
  std::string path;
  std::string cwd;
  pid_t process = -1;  // the thread group, in our pid namespace
};

struct Image {  // after: what the kernel has loaded
  std::vector<std::string> argv;
  bool truncated = false;
  std::string exe;
  std::string cwd;
};

class Tracees {
 public:
  static Result<Tracees> open();

  // For a task that waits in execve or execveat. An error means that the exec must be refused.
  Result<ExecRequest> request(pid_t task, const seccomp_data& call) const;

  // For a task that is stopped right after its exec.
  Result<Image> image(pid_t process) const;

  // Text in a task's memory, of at most PATH_MAX bytes.
  Result<std::string> path(pid_t task, std::uint64_t address) const;
  // "exe", "cwd", "fd/7": as the task's own root shows it.
  Result<std::string> link(pid_t task, const char* name) const;
  // Its thread group, as we number it and as its own pid namespace does.
  struct Numbers {
    pid_t process = -1;
    pid_t inside = -1;
  };
  Result<Numbers> numbers(pid_t task) const;
  // "status", "net/udp": the beginning, of at most that size.
  Result<std::string> head(pid_t task, const char* name, std::size_t max_bytes) const;
  // The numbers in a directory below /proc: "" are the processes, "17/fd" its descriptors.
  Result<std::vector<int>> numbers_in(const std::string& directory, std::size_t max) const;

 private:
  explicit Tracees(Fd proc) : proc_(std::move(proc)) {}
  Fd proc_;  // /proc
};

// `path` as seen from `base`, without "." and "..", links not followed. Both absolute, or `path` is
// relative.
std::string resolve_text(std::string_view base, std::string_view path);

// True if the image says of itself what the request said: truncated tails are not compared.
bool same_arguments(const ExecRequest& request, const Image& image);

}  // namespace oqto::sandbox
