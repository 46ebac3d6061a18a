#include "sandbox_cli/egress.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "sandbox/monitor/socket_owner.h"
#include "sandbox_cli/text.h"

namespace oqto::sandbox_cli {
namespace {

constexpr int kReadyMs = 15'000;
constexpr int kEndMs = 2000;
constexpr int kHigh = 400;  // above every number that the descriptors get there

// In the child: `sources` become descriptors 3, 4, 5 and so on; nothing else passes.
Status place(const std::vector<int>& sources, const Fd& errors) {
  std::vector<int> copies;
  for (const int source : sources) {
    copies.push_back(::fcntl(source, F_DUPFD_CLOEXEC, kHigh));
    if (copies.back() < 0) return fail_errno("fcntl(F_DUPFD)");
  }
  const Fd null = TRY(sys::open_file("/dev/null", O_RDWR));
  if (::dup2(null.get(), 0) < 0 || ::dup2(null.get(), 1) < 0 || ::dup2(errors.get(), 2) < 0) {
    return fail_errno("dup2");
  }
  int target = ipc::kGuardFd;
  for (const int copy : copies) {
    if (::dup2(copy, target++) < 0) return fail_errno("dup2");
  }
  return sys::close_from(target);
}

[[noreturn]] void become(const std::string& program, const std::vector<int>& sources,
                         std::size_t sockets, const Fd& errors, pid_t parent) {
  const std::string count = std::to_string(sockets);
  const char* argv[] = {"oqto-egress", "--sockets", count.c_str(), nullptr};
  char* environment[] = {nullptr};
  sigset_t none;
  sigemptyset(&none);
  if (sys::die_with_parent(parent) && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 &&
      place(sources, errors)) {
    ::execve(program.c_str(), const_cast<char**>(argv), environment);
  }
  ::_exit(127);
}

}  // namespace

Outcome<> Egress::start(const std::string& program, sandbox::StartedSandbox& sandbox,
                        const sandbox::Policy& policy, const Fd& sink) {
  auto pair = sys::seqpacket_pair();
  const auto null = sys::open_file("/dev/null", O_RDWR);
  int ends[2];
  if (!pair || !null || ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    return std::unexpected("no descriptors for oqto-egress");
  }
  errors_ = Fd::adopt(ends[0]);
  member_ = sandbox.stage;
  const Fd said = Fd::adopt(ends[1]);
  std::vector<int> sources = {pair->second.get(), sink ? sink.get() : null->get(), null->get(),
                              sandbox.dns_udp.get(), sandbox.dns_tcp.get()};
  for (const Fd& socket : sandbox.pool) sources.push_back(socket.get());
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(program, sources, sandbox.pool.size(), said, parent);
  if (pid_ < 0) return std::unexpected("no process for oqto-egress");
  pair->second.reset();  // else its end would not be noticed
  auto process = sys::pidfd_open(pid_);
  if (!process) return std::unexpected("oqto-egress cannot be watched");
  process_ = std::move(*process);
  // Whoever holds them could serve the sandbox: from now on that is oqto-egress alone.
  sandbox.dns_udp.reset();
  sandbox.dns_tcp.reset();
  sandbox.pool.clear();
  channel_ = ipc::Channel(std::move(pair->first));
  return begin(policy);
}

Outcome<> Egress::begin(const sandbox::Policy& policy) {
  ipc::GateRules rules;
  rules.session = Uuid::random();
  rules.domains.values = policy.domains.values;
  // Allowed and recorded, which every connection is.
  if (policy.unknown_hosts == policies::Ask::automatic) rules.domains.values.emplace_back("**:*");
  rules.ask_unknown = policy.unknown_hosts == policies::Ask::prompt ? 1 : 0;
  rules.ask_timeout_s = static_cast<std::uint32_t>(policy.ask_timeout_s);
  const bool sent = static_cast<bool>(channel_.send(rules));
  const auto answer = sent ? channel_.wait(kReadyMs) : fail(Errc::unavailable, "");
  if (!answer || !answer->as<ipc::Ready>()) {
    return std::unexpected("the filtered network cannot be had: oqto-egress " + last_words());
  }
  if (!loop_.watch(channel_.fd(), *this)) return std::unexpected("oqto-egress cannot be watched");
  return {};
}

std::string Egress::last_words() const {
  char text[1024];
  pollfd ended{process_.get(), POLLIN, 0};
  const bool over = ::poll(&ended, 1, kEndMs) > 0;
  const ssize_t n = ::read(errors_.get(), text, sizeof text);
  if (n > 0) return "said: " + std::string(text, static_cast<std::size_t>(n));
  return over ? "ended (is it installed beside oqto-sandbox?)" : "did not answer";
}

void Egress::on_ready(std::uint32_t) {
  for (;;) {
    const auto received = channel_.receive();
    if (!received && received.error().code == Errc::limit) return;
    auto question =
        received ? received->as<ipc::ApprovalAsk>() : std::unexpected(received.error());
    if (!question) {
      loop_.unwatch(channel_.fd(), *this);
      complain("oqto-egress has ended: nothing outside can be reached any more");
      return;
    }
    sandbox::show_asker(*question, member_);
    prompter_.ask(*question, [this, asked = *question](ipc::ApprovalChoice choice) {
      (void)channel_.send(ipc::ApprovalAnswer{asked.session, asked.kind, asked.question, choice});
    });
  }
}

bool Egress::on_child(pid_t pid) {
  if (pid != pid_ || pid <= 0) return false;
  pid_ = -1;
  return true;
}

void Egress::close() {
  if (pid_ <= 0) return;
  if (channel_) loop_.unwatch(channel_.fd(), *this);
  channel_ = ipc::Channel();  // which it takes as the end
  pollfd ended{process_.get(), POLLIN, 0};
  if (!process_ || ::poll(&ended, 1, kEndMs) <= 0) (void)::kill(pid_, SIGKILL);
  (void)::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace oqto::sandbox_cli
