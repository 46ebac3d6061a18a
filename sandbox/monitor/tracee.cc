#include "sandbox/monitor/tracee.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr std::uint64_t kPage = 4096;

// Up to the end of the page: a read across into an unmapped page would fail as a whole.
Result<std::size_t> read_memory(pid_t task, std::uint64_t address, void* into, std::size_t size) {
  const std::uint64_t in_page = kPage - address % kPage;
  iovec local{into, std::min<std::uint64_t>(size, in_page)};
  iovec remote{reinterpret_cast<void*>(address), local.iov_len};  // NOLINT: never dereferenced here
  const ssize_t n = ::process_vm_readv(task, &local, 1, &remote, 1, 0);
  if (n <= 0) return fail_errno("the memory of the calling process cannot be read");
  return static_cast<std::size_t>(n);
}

// NUL-terminated text of at most `max` bytes; longer text is cut and `cut` set.
Result<std::string> read_text(pid_t task, std::uint64_t address, std::size_t max, bool& cut) {
  std::string text;
  char piece[512];
  while (text.size() < max) {
    const std::size_t n =
        TRY(read_memory(task, address, piece, std::min(sizeof piece, max - text.size())));
    const void* end = std::memchr(piece, '\0', n);
    if (end != nullptr) {
      text.append(piece, static_cast<std::size_t>(static_cast<const char*>(end) - piece));
      return text;
    }
    text.append(piece, n);
    address += n;
  }
  cut = true;
  return text;
}

Status read_arguments(pid_t task, std::uint64_t array, ExecRequest& request) {
  if (array == 0) return {};  // the kernel takes that for an empty list
  std::size_t room = kMaxArgumentBytes;
  for (std::size_t i = 0;; ++i) {
    std::uint64_t pointer = 0;
    char* into = reinterpret_cast<char*>(&pointer);
    std::size_t have = 0;
    while (have < sizeof pointer) {  // an unaligned array may straddle a page
      have += TRY(
          read_memory(task, array + i * sizeof pointer + have, into + have, sizeof pointer - have));
    }
    if (pointer == 0) return {};
    if (i == kMaxArguments || room == 0) break;
    request.argv.push_back(TRY(read_text(task, pointer, room, request.truncated)));
    room -= std::min(room, request.argv.back().size() + 1);
  }
  request.truncated = true;
  return {};
}

}  // namespace

std::vector<std::string> split_at_nul(std::string_view text, std::size_t max) {
  std::vector<std::string> parts;
  while (!text.empty() && parts.size() < max) {
    const std::size_t end = text.find('\0');
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

Result<Tracees> Tracees::open() {
  return Tracees(TRY(sys::open_dir("/proc")));
}

Result<std::string> Tracees::link(pid_t task, const char* name) const {
  const std::string path = std::to_string(task) + '/' + name;
  char target[PATH_MAX];
  const ssize_t n = ::readlinkat(proc_.get(), path.c_str(), target, sizeof target);
  if (n < 0) return fail_errno("a link in /proc cannot be read");
  return std::string(target, static_cast<std::size_t>(n));
}

Fd Tracees::open_executable(pid_t process) const {
  const std::string path = std::to_string(process) + "/exe";
  return Fd::adopt(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

Result<std::string> Tracees::head(pid_t task, const char* name, std::size_t max_bytes) const {
  const std::string path = std::to_string(task) + '/' + name;
  const Fd file = Fd::adopt(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return fail_errno("a file in /proc cannot be opened");
  std::string text(max_bytes, '\0');
  std::size_t have = 0;
  while (have < max_bytes) {
    const ssize_t n = ::read(file.get(), text.data() + have, max_bytes - have);
    if (n < 0) return fail_errno("a file in /proc cannot be read");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

Result<std::string> Tracees::whole(pid_t task, const char* name, std::size_t max_bytes) const {
  constexpr std::size_t kUsual = 4096;
  const std::string path = std::to_string(task) + '/' + name;
  const Fd file = Fd::adopt(::openat(proc_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return fail_errno("a file in /proc cannot be opened");
  std::string text(kUsual, '\0');
  std::size_t have = 0;
  for (;;) {
    const ssize_t n = ::read(file.get(), text.data() + have, text.size() - have);
    if (n < 0) return fail_errno("a file in /proc cannot be read");
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
    if (have > max_bytes) return fail(Errc::limit, "a file in /proc is longer than it can be");
    if (have == text.size()) text.resize(2 * have);
  }
  text.resize(have);
  return text;
}

Result<std::vector<int>> Tracees::numbers_in(const std::string& directory, std::size_t max) const {
  const char* name = directory.empty() ? "." : directory.c_str();
  Fd fd = Fd::adopt(::openat(proc_.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno("a directory in /proc cannot be opened");
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(fd.get()), ::closedir);
  if (!list) return fail_errno("fdopendir");
  (void)fd.release();
  std::vector<int> numbers;
  while (const dirent* entry = numbers.size() < max ? ::readdir(list.get()) : nullptr) {
    const std::string_view text = entry->d_name;
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) numbers.push_back(number);
  }
  return numbers;
}

Result<ExecRequest> Tracees::request(pid_t task, const seccomp_data& call) const {
  const bool at = call.nr == SYS_execveat;
  ExecRequest request;
  bool path_cut = false;
  request.path = TRY(read_text(task, call.args[at ? 1 : 0], PATH_MAX, path_cut));
  TRY(read_arguments(task, call.args[at ? 2 : 1], request));
  request.cwd = TRY(link(task, "cwd"));
  // Most callers are the first thread of their process, which this asks for less than /proc takes.
  const bool is_first = ::syscall(SYS_tgkill, task, task, 0) == 0;
  request.process = is_first ? task : TRY(numbers(task)).process;
  return request;
}

Result<std::string> Tracees::path(pid_t task, std::uint64_t address) const {
  bool cut = false;
  std::string text = TRY(read_text(task, address, PATH_MAX, cut));
  if (cut) return fail(Errc::limit, "a path longer than any can be");
  return text;
}

Result<Tracees::Numbers> Tracees::numbers(pid_t task) const {
  const std::string status = TRY(head(task, "status", 1024));
  const auto last_number = [&status](std::string_view label) {
    pid_t number = -1;
    const std::size_t found = status.find(label);
    if (found == std::string::npos) return number;
    const std::size_t end = std::min(status.find('\n', found + 1), status.size());
    const std::size_t start = status.find_last_of('\t', end) + 1;
    (void)std::from_chars(status.data() + start, status.data() + end, number);
    return number;
  };
  const Numbers numbers{last_number("\nTgid:\t"), last_number("\nNStgid:\t"),
                        last_number("\nPPid:\t")};
  if (numbers.process < 0) return fail(Errc::io, "no thread group in /proc/PID/status");
  return numbers;
}

void Image::show(std::string_view text) {
  truncated = text.size() > kMaxArgumentBytes;
  argv = split_at_nul(text.substr(0, kMaxArgumentBytes), kMaxArguments + 1);
  if (argv.size() <= kMaxArguments) return;
  argv.resize(kMaxArguments);
  truncated = true;
}

Result<Image> Tracees::image(pid_t process) const {
  Image image;
  image.exe = TRY(link(process, "exe"));
  image.cwd = TRY(link(process, "cwd"));
  image.show(TRY(head(process, "cmdline", kMaxArgumentBytes + 1)));
  return image;
}

Result<Image> Tracees::loaded(pid_t process) const {
  Image image;
  image.exe = TRY(link(process, "exe"));
  image.cwd = TRY(link(process, "cwd"));
  image.arguments = TRY(whole(process, "cmdline", kMaxLoadedBytes));
  image.environment = TRY(whole(process, "environ", kMaxLoadedBytes));
  image.show(image.arguments);
  return image;
}

std::string resolve_text(std::string_view base, std::string_view path) {
  std::vector<std::string_view> names;
  const auto walk = [&names](std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('/'), text.size());
      const std::string_view name = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (name == ".." && !names.empty()) names.pop_back();
      if (!name.empty() && name != "." && name != "..") names.push_back(name);
    }
  };
  if (!path.starts_with('/')) walk(base);
  walk(path);
  std::string text;
  for (const std::string_view name : names) text.append("/").append(name);
  return text.empty() ? "/" : text;
}

bool same_arguments(const ExecRequest& request, const Image& image) {
  if (!request.truncated && !image.truncated) {
    // Without any argument the kernel makes one empty one.
    if (request.argv.empty()) return image.argv.size() <= 1;
    return request.argv == image.argv;
  }
  const std::size_t whole = std::min(request.argv.size(), image.argv.size());
  for (std::size_t i = 0; i + 1 < whole; ++i) {  // the last one may have been cut
    if (request.argv[i] != image.argv[i]) return false;
  }
  return true;
}

}  // namespace oqto::sandbox
