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

constexpr std::size_t kMaxArguments = 200;
constexpr std::size_t kMaxArgumentBytes = 20 * 1024;  // all of them: what is shown, and compared
// More than the kernel takes for arguments and environment together (6 MiB).
constexpr std::size_t kMaxLoadedBytes = std::size_t{8} << 20;

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
  // Of Tracees::loaded() alone, as the kernel keeps them: all, with a NUL behind each.
  std::string arguments, environment;
  std::string exe;
  std::string cwd;
  void show(std::string_view text);  // the first of these arguments become argv
};

class Tracees {
 public:
  static Result<Tracees> open();

  // For a task that waits in execve or execveat. An error means that the exec must be refused.
  Result<ExecRequest> request(pid_t task, const seccomp_data& call) const;

  // The first of its arguments are enough: for somebody to look at.
  Result<Image> image(pid_t process) const;
  // For a task that is stopped right after its exec: all of its arguments, and its environment. An
  // error means that it must not run.
  Result<Image> loaded(pid_t process) const;

  // Text in a task's memory, of at most PATH_MAX bytes.
  Result<std::string> path(pid_t task, std::uint64_t address) const;
  // "exe", "cwd", "fd/7": as the task's own root shows it.
  Result<std::string> link(pid_t task, const char* name) const;
  // The file that it is an image of, to be read; none if that is not permitted.
  Fd open_executable(pid_t process) const;
  // Its thread group, as we number it and as its own pid namespace does.
  struct Numbers {
    pid_t process = -1;
    pid_t inside = -1;
    pid_t parent = -1;  // as we number it
  };
  Result<Numbers> numbers(pid_t task) const;
  // "cmdline", "environ": all of it. Errc::limit: it is longer than that.
  Result<std::string> whole(pid_t task, const char* name, std::size_t max_bytes) const;
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

// Texts that each have a NUL behind them.
std::vector<std::string> split_at_nul(std::string_view text, std::size_t max);  // the first ones

// True if the image says of itself what the request said: truncated tails are not compared.
bool same_arguments(const ExecRequest& request, const Image& image);

}  // namespace oqto::sandbox
