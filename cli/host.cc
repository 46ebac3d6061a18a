#include "cli/host.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/sys.h"
#include "cli/json.h"

namespace oqto::cli {

using ipc::Tag;

namespace {

std::string not_root() { return "oqtoctl needs root: run it with sudo"; }

std::string explain(int error, const std::string& state) {
  if (error == EACCES || error == EPERM) return not_root();
  if (error == ENAMETOOLONG || error == ENOTDIR) return state + " is no state directory";
  return "no host is running in " + state + ": start it with `./run --state " + state +
         "`, or name its directory with --state";
}

template <class T>
Outcome<T> as(const Result<T>& message) {
  if (message) return *message;
  return std::unexpected("a malformed answer: are oqtoctl and the host of one version?");
}

}  // namespace

Outcome<Host> Host::connect(const std::string& state) {
  const Fd dir = Fd::adopt(::open(state.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return std::unexpected(explain(errno, state));
  Fd socket = Fd::adopt(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return std::unexpected("a socket cannot be made");
  // By descriptor, because a socket's address holds no more than 107 bytes of path.
  const std::string path = "/proc/self/fd/" + std::to_string(dir.get()) + "/control.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(explain(errno, state));
  }
  return Host(ipc::Channel(std::move(socket)), state);
}

std::string Host::lost() const {
  if (::geteuid() != 0) return not_root();
  return "the host in " + state_ + " closed the connection: is it stopping? See its log";
}

std::string operator_name() {
  // secure_getenv: nothing here is set-user-ID, and would not be asked if it were.
  if (const char* const sudo = ::secure_getenv("SUDO_USER"); sudo != nullptr && ::getuid() == 0) return sudo;
  const passwd* const entry = ::getpwuid(sys::login_uid(::getpid()).value_or(::getuid()));
  return entry == nullptr ? std::string() : entry->pw_name;
}

Outcome<> Host::send(ipc::CtlRequest request) {
  const std::string name = operator_name();
  request.operator_name = std::string_view(name);
  if (!guard_.send(request)) return std::unexpected(lost());
  return {};
}

Outcome<ipc::Received> Host::receive(int patience_ms) {
  auto received = guard_.wait(patience_ms);
  if (received) return std::move(*received);
  if (received.error().code == Errc::limit) {
    return std::unexpected("the host in " + state_ + " does not answer: see its log");
  }
  return std::unexpected(lost());
}

Outcome<HostStatus> Host::status() {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::status;
  TRY(send(request));
  HostStatus status;
  for (std::size_t rows = 0; rows < kMaxRows; ++rows) {
    const auto received = TRY(receive());
    switch (received.tag) {
      case Tag::ctl_process:
        status.processes.push_back(TRY(as(received.as<ipc::CtlProcess>())));
        break;
      case Tag::ctl_tenant:
        status.tenants.push_back(TRY(as(received.as<ipc::CtlTenant>())));
        break;
      case Tag::ctl_storage:
        status.storage = TRY(as(received.as<ipc::CtlStorage>()));
        break;
      case Tag::ctl_session:
        status.sessions.push_back(TRY(as(received.as<ipc::CtlSession>())));
        break;
      case Tag::ctl_trouble:
        status.troubles.push_back(TRY(as(received.as<ipc::CtlTrouble>())));
        break;
      default: {
        const auto end = TRY(as(received.as<ipc::CtlEnd>()));
        if (end.ok != 1) return std::unexpected(end.why.str());
        return status;
      }
    }
  }
  return std::unexpected("the host sent too many rows");
}

Outcome<std::vector<ipc::Reloaded>> Host::reload() {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::reload;
  TRY(send(request));
  std::vector<ipc::Reloaded> parts;
  for (;;) {
    const auto received = TRY(receive(kReloadTimeoutMs));
    if (received.tag == Tag::reloaded && parts.size() < static_cast<std::size_t>(ipc::ReloadPart::kEnd)) {
      parts.push_back(TRY(as(received.as<ipc::Reloaded>())));
      continue;
    }
    const auto end = TRY(as(received.as<ipc::CtlEnd>()));
    if (end.ok != 1) return std::unexpected(end.why.str());
    return parts;
  }
}

Outcome<std::uint64_t> Host::read_end() {
  const auto received = TRY(receive());
  const auto end = TRY(as(received.as<ipc::CtlEnd>()));
  if (end.ok != 1) return std::unexpected(end.why.str());
  return end.index;
}

Outcome<> Host::kill_session(const Uuid& session, std::uint32_t account) {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::kill_session;
  request.session = session;
  request.account = account;
  TRY(send(request));
  TRY(read_end());
  return {};
}

Outcome<> Host::kill_tenant(std::uint32_t account) {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::kill_tenant;
  request.account = account;
  TRY(send(request));
  TRY(read_end());
  return {};
}

Outcome<std::uint64_t> Host::audit_erase(std::uint32_t account, std::uint32_t day) {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::audit_erase;
  request.account = account;
  request.day = day;
  TRY(send(request));
  return read_end();
}

Outcome<std::uint64_t> Host::audit_prune(std::uint64_t index) {
  ipc::CtlRequest request;
  request.verb = ipc::CtlVerb::audit_prune;
  request.index = index;
  TRY(send(request));
  return read_end();
}

Outcome<std::string> Host::accounts(ipc::AdminVerb verb, std::string body) {
  if (!accounts_) {
    ipc::CtlRequest request;
    request.verb = ipc::CtlVerb::accounts;
    TRY(send(request));
    auto received = TRY(receive());
    if (received.tag == Tag::ctl_end) {
      return std::unexpected(TRY(as(received.as<ipc::CtlEnd>())).why.str());
    }
    TRY(as(received.as<ipc::CtlAccounts>()));
    accounts_ = ipc::Channel(std::move(received.fd));
  }
  const ipc::AdminCall call{.verb = verb, .body = {std::move(body)}};
  if (!accounts_.send(call)) {
    return std::unexpected("accounts is not running: see `oqtoctl status`");
  }
  const auto received = accounts_.wait(kAnswerTimeoutMs);
  if (!received) return std::unexpected("accounts does not answer: see `oqtoctl status`");
  const auto reply = TRY(as(received->as<ipc::AdminReply>()));
  if (reply.ok != 1) return std::unexpected(read_error(reply.body.value));
  return reply.body.value;
}

}  // namespace oqto::cli
