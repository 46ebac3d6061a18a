#include "sandbox/world/test_world.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "sandbox/monitor/listener.h"
#include "sandbox/world/descriptors.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRunMs = 60'000;

uid_t fresh_uid() {
  static std::atomic<uid_t> next{0};
  return 1'800'000'000U + static_cast<uid_t>(::getpid() % 1'000'000) * 100U + ++next;
}

void become(uid_t uid) {
  CHECK(::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 &&
        ::setresuid(uid, uid, uid) == 0);
}

}  // namespace

TestWorld::TestWorld(bool in_memory) : uid_(fresh_uid()), in_memory_(in_memory) {
  (void)binary("");  // from here on we have a mount namespace of our own
  char path[] = "/tmp/oqto-world-XXXXXX";
  CHECK(::mkdtemp(path) != nullptr);
  if (in_memory) CHECK(::mount("tmpfs", path, "tmpfs", 0, "size=64m") == 0);
  CHECK(::chmod(path, 0711) == 0);
  dir_ = path;
  CHECK(::chown(path, uid_, uid_) == 0);
  world.real_home = make_directory(dir_ + "/home/user");
  world.home = {make_directory(dir_ + "/private"), {}, world.real_home};
  const std::string workspace = make_directory(world.real_home + "/project");
  world.workspace = {workspace, {}, workspace};
  world.policy = profile_policy(ipc::Profile::development);
  world.git_store = dir_ + "/git";
  world.user = "user";
  world.init = binary("oqto-init");
  world.notify_exec = false;
}

TestWorld::~TestWorld() {
  stop(SIGKILL);
  std::error_code ignored;
  if (in_memory_) (void)::umount2(dir_.c_str(), MNT_DETACH);
  fs::remove_all(dir_, ignored);
}

std::string TestWorld::make_directory(const std::string& path) {
  fs::path made = "/";
  for (const auto& part : fs::path(path).relative_path()) {
    made /= part;
    if (::mkdir(made.c_str(), 0755) == 0) CHECK(::chown(made.c_str(), uid_, uid_) == 0);
  }
  return path;
}

std::string TestWorld::write(const std::string& path, std::string_view content) {
  make_directory(fs::path(path).parent_path());
  std::ofstream(path) << content;
  CHECK(::chown(path.c_str(), uid_, uid_) == 0);
  return path;
}

Ran TestWorld::outside(const std::string& script) const {
  return run_outside(uid_,
                     {"/bin/bash", "-c",
                      "cd " + workspace() + "; export HOME=" + home() + "; exec 2>&1; " + script});
}

bool TestWorld::exists(const std::string& path) const {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// Starts, hands everything out, and then only waits: the sandbox ends with it.
void TestWorld::be_starter(const Fd& to_test) {
  become(uid_);
  auto started = start_sandbox(world, {});
  if (!started) {
    (void)sys::write_all(to_test, "no: " + started.error().why);
    ::_exit(1);
  }
  std::vector<Fd> all;
  all.push_back(Fd::adopt(::dup(started->control.fd().get())));
  all.push_back(std::move(started->listener));
  all.push_back(std::move(started->errors));
  if (started->dns_udp) all.push_back(std::move(started->dns_udp));
  if (started->dns_tcp) all.push_back(std::move(started->dns_tcp));
  for (Fd& each : started->pool) all.push_back(std::move(each));
  CHECK(send_descriptors(to_test, all).has_value());
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigprocmask(SIG_BLOCK, &end, nullptr);
  int number = 0;
  (void)::sigwait(&end, &number);
  ::_exit(0);
}

std::string TestWorld::start() {
  auto pair = sys::seqpacket_pair();
  CHECK(pair.has_value());
  for (const int number : leak) CHECK(::dup2(::open("/etc/shadow", O_RDONLY), number) == number);
  starter_ = ::fork();
  if (starter_ == 0) be_starter(pair->second);
  for (const int number : leak) ::close(number);
  pair->second.reset();
  pollfd entry{pair->first.get(), POLLIN, 0};
  (void)::poll(&entry, 1, 30'000);
  char said[2048];
  const ssize_t n = ::recv(pair->first.get(), said, sizeof said, MSG_PEEK);
  if (n != 1) {
    (void)::waitpid(starter_, nullptr, 0);
    starter_ = -1;
    return n > 4 ? std::string(said + 4, static_cast<std::size_t>(n) - 4) : "the starter ended";
  }
  auto received = receive_descriptors(pair->first);
  CHECK(received.has_value() && received->size() >= 3);
  control_ = ipc::Channel(std::move((*received)[0]));
  listener_ = std::move((*received)[1]);
  errors_ = std::move((*received)[2]);
  network_.clear();
  for (std::size_t i = 3; i < received->size(); ++i) network_.push_back(std::move((*received)[i]));
  auto stop = sys::stream_pair();
  stop_read_ = std::move(stop->first);
  stop_write_ = std::move(stop->second);
  answers_ = std::thread([this] { answer_notifications(); });
  return "";
}

void TestWorld::answer_notifications() {
  const Listener listener(std::move(listener_));
  for (;;) {
    pollfd ends[] = {{listener.fd().get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
    if (::poll(ends, 2, -1) < 0) continue;
    if (ends[1].revents != 0 || (ends[0].revents & POLLHUP) != 0) return;
    if (const auto notification = listener.receive())
      (void)listener.refuse(notification->id, EPERM);
  }
}

std::string TestWorld::errors() const {
  char said[2048];
  const ssize_t n = ::read(errors_.get(), said, sizeof said);
  return n > 0 ? std::string(said, static_cast<std::size_t>(n)) : "";
}

Ran TestWorld::run(const std::string& script) {
  const std::uint32_t program = next_program_++;
  auto pair = sys::stream_pair();
  if (!control_.send(ipc::GiveStdio{program, ipc::StdioKind::in_out}, pair->second)) return {};
  pair->second.reset();
  const ipc::Text<1024> cwd{std::string_view(world.workspace.inside)};
  if (!control_.send(ipc::StartProgram{program, {{"/bin/bash", "-c", script}}, {}, cwd, 0, 0})) {
    return {};
  }
  Ran ran;
  bool open = true, ended = false;
  const std::uint64_t deadline = sys::monotonic_ms() + kRunMs;
  while ((open || !ended) && sys::monotonic_ms() < deadline) {
    pollfd ends[2] = {{ended ? -1 : control_.fd().get(), POLLIN, 0},
                      {open ? pair->first.get() : -1, POLLIN, 0}};
    (void)::poll(ends, 2, 1000);
    if (ends[1].revents != 0) {
      char piece[4096];
      const ssize_t n = ::read(pair->first.get(), piece, sizeof piece);
      if (n > 0) ran.output.append(piece, static_cast<std::size_t>(n));
      if (n == 0) open = false;
    }
    if (ends[0].revents == 0) continue;
    const auto received = control_.receive();
    if (!received && received.error().code == Errc::limit) continue;
    if (!received) break;
    if (received->as<ipc::ProgramStarted>()) ran.started = true;
    if (const auto failed = received->as<ipc::ProgramFailed>()) {
      ran.error = static_cast<int>(failed->error);
      return ran;
    }
    if (const auto exited = received->as<ipc::ProgramExited>();
        exited && exited->program == program) {
      ran.exit_status = exited->exit_status;
      ran.signal = exited->signal;
      ended = true;
    }
  }
  return ran;
}

std::string TestWorld::say(const std::string& script) {
  Ran ran = run(script);
  while (ran.output.ends_with('\n')) ran.output.pop_back();
  if (ran.exit_status == 0) return ran.output;
  return std::to_string(ran.exit_status) + ": " + ran.output;
}

void TestWorld::stop(int signal) {
  if (starter_ <= 0) return;
  (void)::kill(starter_, signal);
  (void)::waitpid(starter_, nullptr, 0);
  starter_ = -1;
  stop_write_.reset();
  if (answers_.joinable()) answers_.join();
  control_ = ipc::Channel();
  network_.clear();
  // Until nothing of it is left, the janitor included. What tests fork runs under their own name.
  const auto left = [this, own = std::string(program_invocation_short_name).substr(0, 15)] {
    const auto names = processes_of(uid_);
    return std::ranges::any_of(names, [&](const std::string& name) { return name != own; });
  };
  for (int i = 0; i < 500 && left(); ++i) (void)::usleep(10'000);
}

}  // namespace oqto::sandbox
