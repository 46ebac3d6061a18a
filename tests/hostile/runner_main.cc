// A compromised runner: one tenant's descriptors and uid, and any intention. What it may not get:
// anything of another tenant, of the host, or a sandbox that its account has no workspace for.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/sys.h"
#include "ipc/audit.h"
#include "ipc/channel.h"
#include "tests/hostile/report.h"

namespace oqto::hostile {
namespace {

using namespace ipc;

// Waits for the answer to a numbered request.
bool is_refused(Channel& guard, std::uint64_t request) {
  for (;;) {
    const auto received = guard.wait(20'000);
    if (!received) return false;
    if (received->tag == Tag::session_started) return false;
    if (received->tag != Tag::refused) continue;
    const auto refused = received->as<Refused>();
    if (refused && refused->request == request) return true;
  }
}

void start_what_is_not_mine(Channel& guard) {
  StartSession wanted;
  wanted.request = 1;
  wanted.session = Uuid::random();
  wanted.workspace = Uuid::random();
  (void)guard.send(wanted);
  report("a session in a workspace that is not there", is_refused(guard, 1));
}

// Every process, directory and socket that is not this tenant's stays closed to it.
void reach_files(const std::string& state_dir, const std::string& account) {
  const std::string host = state_dir + "/../../../../";
  bool held = true;
  for (const char* path : {"accounts/accounts.db", "audit/log", "audit/key", "config/gateway.toml",
                           "tls/key.pem", "control.sock", "lock"}) {
    const Fd fd = Fd::adopt(::open((host + path).c_str(), O_RDONLY | O_CLOEXEC));
    const Fd write = Fd::adopt(::open((host + path).c_str(), O_WRONLY | O_CLOEXEC));
    if (fd || write) held = false;
  }
  const std::string other = host + "tenants/" + (account == "1" ? "2" : "1") + "/state/";
  held = held && ::chdir((other + "runner").c_str()) != 0 && ::chdir((other + "hstry").c_str()) != 0;
  report("files of the host and of another tenant", held);

  const std::string own = state_dir + "/../../workspaces";
  DIR* const dir = ::opendir(own.c_str());
  bool workspaces_closed = dir == nullptr;
  if (dir != nullptr) ::closedir(dir);
  report("the tenant's own workspaces, which only the sandbox may enter", workspaces_closed);
}

void reach_processes() {
  bool held = ::setuid(0) != 0;
  DIR* const proc = ::opendir("/proc");
  for (dirent* entry = ::readdir(proc); entry != nullptr; entry = ::readdir(proc)) {
    const int pid = std::atoi(entry->d_name);
    if (pid <= 1 || pid == ::getpid()) continue;
    const std::string memory = "/proc/" + std::string(entry->d_name) + "/mem";
    const Fd fd = Fd::adopt(::open(memory.c_str(), O_RDWR | O_CLOEXEC));
    struct stat info{};
    const std::string self = "/proc/" + std::string(entry->d_name);
    const bool own = ::stat(self.c_str(), &info) == 0 && info.st_uid == ::getuid();
    if (!own && (fd || ::kill(pid, 0) == 0)) held = false;
  }
  ::closedir(proc);
  report("processes of others", held);
  const Fd out = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(22);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  report("the network", ::connect(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
                            errno == ENETUNREACH);
}

void forge_a_record(AuditClient& audit) {
  AuditAppend forged;
  forged.event = Event::login;
  forged.phase = Phase::event;
  forged.add(FieldKey::account, "1").add(FieldKey::username, "admin").add(FieldKey::reason, "forged-by-runner");
  (void)audit.append(forged);
}

int run(const std::string& state_dir, const std::string& account) {
  log::set_process_name("hostile-runner");
  Channel guard(Fd::adopt(kGuardFd));
  AuditClient audit{Channel(Fd::adopt(kAuditFd))};
  (void)guard.send(Ready{});
  start_what_is_not_mine(guard);
  reach_files(state_dir, account);
  reach_processes();
  forge_a_record(audit);
  (void)guard.send(LoginRevoked{1});  // only accounts may: this must be the end
  ::sleep(20);
  report("surviving a broken protocol", false);
  return 0;
}

}  // namespace
}  // namespace oqto::hostile

int main(int argc, char** argv) { return argc > 4 ? oqto::hostile::run(argv[2], argv[4]) : 2; }
