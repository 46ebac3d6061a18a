#include "audit/tests/test_host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "audit/format/format.h"
#include "audit/read/reader.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

namespace fs = std::filesystem;

Child start_program(const char* name, std::vector<std::string> arguments, const Fd& peer,
                    const std::map<std::string, std::string>& environment) {
  auto [ours, theirs] = *sys::seqpacket_pair();
  arguments.insert(arguments.begin(), program(name));
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Child child;
  child.pid = ::fork();
  CHECK(child.pid >= 0);
  if (child.pid == 0) {
    constexpr int kAside = 100;  // none of the targets may be one of the sources
    const int guard = ::fcntl(theirs.get(), F_DUPFD, kAside);
    const int other = ::fcntl(peer.get(), F_DUPFD, kAside);
    const int null = ::fcntl(::open("/dev/null", O_RDWR), F_DUPFD, kAside);
    ::dup2(guard, ipc::kGuardFd);
    ::dup2(null, ipc::kAuditFd);
    ::dup2(other, ipc::kPeerFd);
    for (const auto& [key, value] : environment) ::setenv(key.c_str(), value.c_str(), 1);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  child.guard = ipc::Channel(std::move(ours));
  return child;
}

bool is_ready(Child& child) {
  const auto message = child.guard.wait(20'000);
  return message && message->as<ipc::Ready>();
}

void kill_child(Child& child) {
  if (child.pid < 0) return;
  ::kill(child.pid, SIGKILL);
  (void)child.wait();
}

}  // namespace

TempDir::TempDir() {
  std::string path = (fs::temp_directory_path() / "oqto-audit-XXXXXX").string();
  CHECK(::mkdtemp(path.data()) != nullptr);
  path_ = path;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Output run(const std::string& command) {
  Output output;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  CHECK(pipe != nullptr);
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe))
    output.out.append(buffer, n);
  const int status = ::pclose(pipe);
  output.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::vector<std::string> files_beneath(const std::string& dir) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), dir).string());
  }
  std::ranges::sort(files);
  return files;
}

void copy_directory(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
  // Of a key directory: a copy is not served as it is (signer_binding.h), and most tests are about what
  // else would notice it.
  fs::remove(to + "/binding");
  fs::permissions(to, fs::status(from).permissions());
}

int Child::wait() {
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  pid = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TestHost::TestHost() {
  CHECK(::mkdir(log_dir().c_str(), 0700) == 0);
  CHECK(::mkdir(key_dir().c_str(), 0700) == 0);
}

TestHost::~TestHost() {
  kill_child(auditd);
  kill_child(signer);
}

bool TestHost::start() {
  std::tie(auditd_peer_, signer_peer_) = *sys::seqpacket_pair();
  start_signer();
  return start_auditd();
}

void TestHost::start_signer() {
  if (!signer_peer_) signer_peer_ = std::move(sys::seqpacket_pair()->first);
  std::vector<std::string> arguments = {"--key-dir", key_dir(), "--origin", "audit.example/test"};
  arguments.insert(arguments.end(), signer_arguments.begin(), signer_arguments.end());
  signer = start_program("oqto-audit-signer", arguments, signer_peer_, signer_environment);
  signer_peer_.reset();
  CHECK(is_ready(signer));
}

bool TestHost::start_auditd() {
  std::vector<std::string> arguments = {"--log-dir", log_dir()};
  arguments.insert(arguments.end(), auditd_arguments.begin(), auditd_arguments.end());
  if (!auditd_peer_) {  // the signer lives: it gets the new channel by Wire
    auto [left, right] = *sys::seqpacket_pair();
    CHECK(signer.guard.send(ipc::Wire{ipc::WireRole::peer}, right));
    auditd_peer_ = std::move(left);
  }
  auditd = start_program("oqto-auditd", arguments, auditd_peer_, auditd_environment);
  auditd_peer_.reset();
  return is_ready(auditd);
}

bool TestHost::start_auditd_with(Fd signer_channel) {
  auditd_peer_ = std::move(signer_channel);
  return start_auditd();
}

void TestHost::rewire_signer() {
  auto [left, right] = *sys::seqpacket_pair();
  signer_peer_ = std::move(right);
  start_signer();
  CHECK(auditd.guard.send(ipc::Wire{ipc::WireRole::peer}, left));
}

int TestHost::stop_auditd() {
  auditd.guard = ipc::Channel();
  return auditd.wait();
}

int TestHost::stop_signer() {
  signer.guard = ipc::Channel();
  return signer.wait();
}

void TestHost::kill_auditd() {
  kill_child(auditd);
}
void TestHost::kill_signer() {
  kill_child(signer);
}

ipc::Channel TestHost::source(ipc::Process process, std::uint32_t account,
                              std::string_view username, std::uint32_t pid, std::uint32_t uid) {
  auto [ours, theirs] = *sys::seqpacket_pair();
  ipc::AuditSource facts;
  facts.process = process;
  facts.account = account;
  facts.username = username;
  facts.pid = pid;
  facts.uid = uid;
  (void)auditd.guard.send(facts, theirs);  // if auditd is gone, the caller sees it on the channel
  return ipc::Channel(std::move(ours));
}

void TestHost::wait_for_checkpoint() const {
  const std::uint64_t end = sys::monotonic_ms() + 20'000;
  while (::access((log_dir() + "/checkpoint").c_str(), F_OK) != 0 && sys::monotonic_ms() < end) ::usleep(5000);
}

std::string TestHost::verify_command(const std::string& log) const {
  return program("oqto-audit") + " verify --log " + (log.empty() ? log_dir() : log) + " --vkey " +
         key_dir() + "/log.vkey";
}

std::vector<std::string> entries_of(const TestHost& host) {
  std::vector<std::string> entries;
  auto reader = LogReader::open(host.log_dir());
  CHECK(reader.has_value());
  CHECK(reader->read_new([&](std::uint64_t, std::string_view entry) {
    entries.emplace_back(entry);
    return Status();
  }));
  return entries;
}

std::string batches_of(const std::string& segment) {
  std::size_t length = 0;
  for (;;) {
    const Batch batch = read_batch(std::string_view(segment).substr(length));
    if (batch.state != BatchState::complete) break;
    length += batch.length;
  }
  return segment.substr(0, length);
}

std::size_t count_events(const std::vector<std::string>& entries, std::string_view event) {
  const std::string mark = "\"event\":\"" + std::string(event) + "\"";
  return static_cast<std::size_t>(std::ranges::count_if(
      entries, [&](const std::string& entry) { return contains(entry, mark); }));
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

ipc::AuditAppend record(ipc::Event event, ipc::Phase phase) {
  ipc::AuditAppend append;
  append.event = event;
  append.phase = phase;
  return append;
}

std::string program(const char* name) {
  return std::string(OQTO_BIN_DIR) + "/" + name;
}

}  // namespace oqto::audit
