#include "base/sys.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include <charconv>
#include <chrono>
#include <cstdio>

namespace oqto::sys {

Status close_from(int first) {
  if (::syscall(SYS_close_range, first, ~0U, 0) != 0) return fail_errno("close_range");
  return {};
}

Status adopt_inherited(int first, int count) {
  for (int number = first; number < first + count; ++number) {
    if (::fcntl(number, F_SETFD, FD_CLOEXEC) != 0) {
      return fail_errno("an inherited descriptor is missing: this program is started by oqto-guard");
    }
  }
  return {};
}

static Result<std::pair<Fd, Fd>> unix_pair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return fail_errno("socketpair");
  }
  return std::pair{Fd::adopt(ends[0]), Fd::adopt(ends[1])};
}

Result<std::pair<Fd, Fd>> seqpacket_pair() { return unix_pair(SOCK_SEQPACKET); }
Result<std::pair<Fd, Fd>> stream_pair() { return unix_pair(SOCK_STREAM); }

Status set_nonblocking(const Fd& fd, bool on) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fail_errno("fcntl(F_GETFL)");
  if (::fcntl(fd.get(), F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) != 0) {
    return fail_errno("fcntl(F_SETFL)");
  }
  return {};
}

Result<Fd> open_beneath(const Fd& dir, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long fd = ::syscall(SYS_openat2, dir.get(), path, &how, sizeof how);
  if (fd < 0) return fail_errno("openat2");
  return Fd::adopt(static_cast<int>(fd));
}

Result<Fd> open_dir(const char* path) { return open_file(path, O_RDONLY | O_DIRECTORY); }

Result<Fd> open_file(const char* path, int flags, mode_t mode) {
  const int fd = ::open(path, flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno("open");
  return Fd::adopt(fd);
}

Status write_all(const Fd& fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail_errno("write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Status write_all(const Fd& fd, std::string_view text) {
  return write_all(fd, std::as_bytes(std::span(text)));
}

Result<std::string> read_all(const Fd& fd, std::size_t max_bytes) {
  std::string content;
  char buffer[8192];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read");
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > max_bytes) return fail(Errc::limit, "the file is longer than allowed");
  }
}

Result<Fd> sealed_memfd(const char* name, std::string_view content) {
  Fd fd = Fd::adopt(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("memfd_create");
  TRY(write_all(fd, content));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("fcntl(F_ADD_SEALS)");
  return fd;
}

void fill_random(std::span<std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::getrandom(bytes.data(), bytes.size(), 0);
    CHECK(n > 0);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

Result<Fd> pidfd_open(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return fail_errno("pidfd_open");
  return Fd::adopt(static_cast<int>(fd));
}

Status pidfd_kill(const Fd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0) {
    return fail_errno("pidfd_send_signal");
  }
  return {};
}

static std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  CHECK(::clock_gettime(clock, &now) == 0);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

std::string boot_id() {
  constexpr std::size_t kLength = 36;
  const auto file = open_file("/proc/sys/kernel/random/boot_id", O_RDONLY);
  const auto text = file ? read_all(*file, 64) : Result<std::string>("");
  return text && text->size() >= kLength ? text->substr(0, kLength) : std::string();
}

namespace {

std::string read_of_process(pid_t pid, const char* name) {
  const auto file = open_file(("/proc/" + std::to_string(pid) + "/" + name).c_str(), O_RDONLY);
  const auto text = file ? read_all(*file, 64) : Result<std::string>("");
  return text ? text->substr(0, text->find('\n')) : std::string();
}

}  // namespace

std::optional<uid_t> login_uid(pid_t pid) {
  const std::string text = read_of_process(pid, "loginuid");
  uid_t uid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), uid);
  if (error != std::errc{} || end != text.data() + text.size() || uid == ~uid_t{0}) return std::nullopt;
  return uid;
}

std::string process_name(pid_t pid) { return read_of_process(pid, "comm"); }

// Without libc's calendar, which reads the time zone from a file that sealed processes cannot open.
std::string utc_text(std::uint64_t unix_ms) {
  using std::chrono::floor;
  const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(unix_ms)};
  const auto day = floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  char text[40];
  (void)std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

std::uint64_t now_ms() { return read_clock(CLOCK_REALTIME); }
std::uint64_t monotonic_ms() { return read_clock(CLOCK_MONOTONIC); }
std::uint64_t boottime_ms() { return read_clock(CLOCK_BOOTTIME); }

Status die_with_parent(pid_t expected_parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("prctl(PR_SET_PDEATHSIG)");
  if (::getppid() != expected_parent) return fail(Errc::unavailable, "the parent is already gone");
  return {};
}

}  // namespace oqto::sys
