#include "sandbox_cli/test_tool.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"

namespace oqto::sandbox_cli {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMaxOutput = 8 * 1024 * 1024;

int exit_status(pid_t pid, int timeout_ms) {
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  int status = 0;
  while (::waitpid(pid, &status, WNOHANG) == 0) {
    if (sys::monotonic_ms() > deadline) {
      ADD_FAILURE() << "a process did not end in time";
      (void)::kill(pid, SIGKILL);
      (void)::waitpid(pid, &status, 0);
      break;
    }
    ::usleep(2000);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// False at the end. Waits for at most `timeout_ms`.
bool read_some(const Fd& from, std::string& into, int timeout_ms) {
  pollfd entry{from.get(), POLLIN, 0};
  if (::poll(&entry, 1, timeout_ms) <= 0) return false;
  char piece[4096];
  const ssize_t n = ::read(from.get(), piece, sizeof piece);
  if (n > 0) into.append(piece, static_cast<std::size_t>(n));
  return n > 0;
}

[[noreturn]] void become(const Words& argv, const Words& environment, const std::string& directory,
                         uid_t uid) {
  std::vector<char*> words, variables;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& each : environment) variables.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  variables.push_back(nullptr);
  const bool root = ::getuid() == 0 && uid != 0;
  if (root && (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
               ::setresuid(uid, uid, uid) != 0)) {
    ::_exit(125);
  }
  if (::chdir(directory.c_str()) != 0) ::_exit(125);
  ::execve(words[0], words.data(), variables.data());
  ::_exit(125);
}

}  // namespace

Running::~Running() {
  if (pid_ <= 0 || !out_) return;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == 0) {
    (void)::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, &status, 0);
  }
}

void Running::type(std::string_view text) const {
  (void)!::write(in_.get(), text.data(), text.size());
}

std::string Running::read_until(std::string_view text) {
  const std::uint64_t deadline = sys::monotonic_ms() + kTestTimeoutMs;
  while (seen_.find(text) == seen_.npos) {
    if (!read_some(out_, seen_, kTestTimeoutMs) || sys::monotonic_ms() > deadline) {
      ADD_FAILURE() << "no `" << text << "` in:\n" << seen_;
      break;
    }
  }
  const std::size_t end = std::min(seen_.find(text), seen_.size() - text.size()) + text.size();
  const std::string before = seen_.substr(0, end);
  seen_.erase(0, end);
  return before;
}

Finished Running::finish() {
  Finished finished;
  const std::uint64_t deadline = sys::monotonic_ms() + kTestTimeoutMs;
  finished.out = std::exchange(seen_, "");
  if (err_) in_.reset();
  bool out_open = true, err_open = static_cast<bool>(err_);
  while ((out_open || err_open) && finished.out.size() < kMaxOutput &&
         sys::monotonic_ms() < deadline) {
    pollfd both[] = {{out_open ? out_.get() : -1, POLLIN, 0},
                     {err_open ? err_.get() : -1, POLLIN, 0}};
    if (::poll(both, 2, 1000) <= 0) continue;
    if (both[0].revents != 0) out_open = read_some(out_, finished.out, 0);
    if (both[1].revents != 0) err_open = read_some(err_, finished.err, 0);
  }
  finished.status = exit_status(std::exchange(pid_, -1), kTestTimeoutMs);
  return finished;
}

namespace {

// Copies, made once: the build may be where only root can go.
class Programs {
 public:
  Programs() {
    std::string name = "/tmp/oqto-sandbox-bin-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    for (const std::string& program : kNames) {
      fs::copy_file(OQTO_BIN + program, directory_ + program);
    }
  }
  ~Programs() {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;
  void link_into(const std::string& directory) const {
    for (const std::string& program : kNames) {
      fs::create_hard_link(directory_ + program, directory + program);
    }
  }

 private:
  static inline const Words kNames = {"/oqto-sandbox", "/oqto-init", "/oqto-egress"};
  std::string directory_;
};

}  // namespace

Tool::Tool() {
  static const Programs programs;
  std::string name = "/tmp/oqto-sandbox-test-XXXXXX";
  base_ = ::mkdtemp(name.data());
  (void)::chmod(base_.c_str(), 0755);
  fs::create_directories(bin());
  programs.link_into(bin());
  make_directory(home());
  make_directory(workspace());
}

Tool::~Tool() {
  // After a tool that was killed its janitor may still be at work in there.
  std::error_code error;
  for (int i = 0; i < 500; ++i) {
    fs::remove_all(base_, error);
    if (!error) return;
    ::usleep(10'000);
  }
  ADD_FAILURE() << base_ << ": " << error.message();
}

void Tool::make_directory(const std::string& path) const {
  fs::create_directories(path);
  (void)!::chown(path.c_str(), kTestUid, kTestUid);
  (void)::chmod(path.c_str(), 0755);
}

std::string Tool::write(const std::string& path, std::string_view content, mode_t mode) const {
  const std::string above = path.substr(0, path.rfind('/'));
  if (!fs::exists(above)) make_directory(above);
  const auto file = sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode);
  EXPECT_TRUE(file && sys::write_all(*file, content)) << path;
  (void)!::chown(path.c_str(), kTestUid, kTestUid);
  (void)::chmod(path.c_str(), mode);
  return path;
}

std::string Tool::read(const std::string& path) {
  const auto file = sys::open_file(path.c_str(), O_RDONLY);
  return file ? sys::read_all(*file, kMaxOutput).value_or("") : "";
}

Running Tool::spawn(Words argv, bool terminal) const {
  Words variables = {"HOME=" + home(), "PATH=/usr/bin:/bin", "TERM=xterm", "LANG=C.UTF-8"};
  variables.insert(variables.end(), environment.begin(), environment.end());
  if (terminal) {
    int master = -1;
    const winsize size{30, 100, 0, 0};
    const pid_t pid = ::forkpty(&master, nullptr, nullptr, &size);
    if (pid == 0) become(argv, variables, workspace(), uid);
    (void)::fcntl(master, F_SETFD, FD_CLOEXEC);
    return {pid, Fd::adopt(::fcntl(master, F_DUPFD_CLOEXEC, 3)), Fd::adopt(master), Fd()};
  }
  int in[2], out[2], err[2];
  EXPECT_EQ(::pipe2(in, O_CLOEXEC) + ::pipe2(out, O_CLOEXEC) + ::pipe2(err, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    (void)::setsid();  // no terminal of the test's own
    (void)::dup2(in[0], 0);
    (void)::dup2(out[1], 1);
    (void)::dup2(err[1], 2);
    become(argv, variables, workspace(), uid);
  }
  ::close(in[0]);
  ::close(out[1]);
  ::close(err[1]);
  return {pid, Fd::adopt(in[1]), Fd::adopt(out[0]), Fd::adopt(err[0])};
}

Running Tool::start(const Words& arguments) const {
  Words argv = {tool()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return spawn(std::move(argv), false);
}

Running Tool::start_on_terminal(const Words& arguments) const {
  Words argv = {tool()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return spawn(std::move(argv), true);
}

Finished Tool::run(const Words& arguments, std::string_view input) const {
  Running running = start(arguments);
  running.type(input);
  return running.finish();
}

Finished Tool::sandboxed(const Words& program) const {
  Words arguments = {"run", "--"};
  arguments.insert(arguments.end(), program.begin(), program.end());
  return run(arguments);
}

Finished Tool::shell(const std::string& script) const {
  return sandboxed({"sh", "-c", script});
}

Finished Tool::outside(const Words& argv) const {
  return spawn(argv, false).finish();
}

Finished Tool::outside_on_terminal(const Words& argv) const {
  return spawn(argv, true).finish();
}

}  // namespace oqto::sandbox_cli
