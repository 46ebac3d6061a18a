#include "audit/witness/witness_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <map>
#include <memory>
#include <vector>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxConnections = 64;
constexpr std::uint64_t kRequestMs = 10'000;  // from the connection, or the last answer, to the next
constexpr int kSweepMs = 1000;
constexpr std::size_t kPiece = 16 * 1024;
constexpr std::size_t kMaxUnsent = 64 * 1024;
constexpr const char* kPath = "/add-checkpoint";
constexpr std::string_view kMonitorEnd = "/checkpoint";  // behind the hash of the log's origin

struct Addresses {
  addrinfo* list = nullptr;
  Addresses() = default;
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  ~Addresses() {
    if (list != nullptr) ::freeaddrinfo(list);
  }
};

class Server {
 public:
  Server(ipc::Loop loop, Fd listener, Fd signals, Witness witness)
      : loop_(std::move(loop)),
        listener_(std::move(listener)),
        signals_(std::move(signals)),
        witness_(std::move(witness)) {}

  Status serve() {
    TRY(loop_.watch(listener_, listener_port_));
    TRY(loop_.watch(signals_, signal_port_));
    while (!stopping_) {
      TRY(loop_.run_once(kSweepMs));
      TRY(failure_);
      for (const std::uint64_t id : std::exchange(finished_, {})) connections_.erase(id);
      sweep();
    }
    return {};
  }

 private:
  struct Port : ipc::Watcher {
    using Handler = void (Server::*)();
    Port(Server& owner, Handler handler) : server_(owner), handler_(handler) {}
    void on_ready(std::uint32_t /*events*/) override { (server_.*handler_)(); }

   private:
    Server& server_;
    Handler handler_;
  };

  struct Connection : ipc::Watcher {
    Connection(Server& owner, std::uint64_t number, Fd fd)
        : server(owner), id(number), socket(std::move(fd)) {
      deadline_ms = sys::monotonic_ms() + kRequestMs;
    }
    void on_ready(std::uint32_t events) override { server.on_connection(*this, events); }

    Server& server;
    const std::uint64_t id;
    Fd socket;
    HttpRequestReader reader;
    std::string unsent;
    std::uint64_t deadline_ms = 0;
    bool closes = false;    // after what is unsent
    bool finished = false;
  };

  void on_signal() { stopping_ = true; }

  void on_listener() {
    Fd socket = Fd::adopt(
        ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) return;
    if (connections_.size() >= kMaxConnections) make_room();
    const std::uint64_t id = next_++;
    auto connection = std::make_unique<Connection>(*this, id, std::move(socket));
    if (!loop_.watch(connection->socket, *connection)) return;
    connections_.emplace(id, std::move(connection));
  }

  // Who has been waited for longest gives way.
  void make_room() {
    Connection* oldest = nullptr;
    for (const auto& [id, connection] : connections_) {
      if (connection->finished) continue;
      if (oldest == nullptr || connection->deadline_ms < oldest->deadline_ms) {
        oldest = connection.get();
      }
    }
    if (oldest != nullptr) finish(*oldest);
  }

  // The object lives until the end of the turn: its own on_ready() may be what got here.
  void finish(Connection& connection) {
    if (std::exchange(connection.finished, true)) return;
    loop_.unwatch(connection.socket, connection);
    ::shutdown(connection.socket.get(), SHUT_RDWR);
    finished_.push_back(connection.id);
  }

  void sweep() {
    const std::uint64_t now = sys::monotonic_ms();
    for (const auto& [id, connection] : connections_) {
      if (connection->deadline_ms < now) finish(*connection);
    }
  }

  void on_connection(Connection& connection, std::uint32_t events) {
    if (connection.finished) return;
    if ((events & EPOLLOUT) != 0) return pump(connection);
    char piece[kPiece];
    const ssize_t n = ::recv(connection.socket.get(), piece, sizeof piece, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return finish(connection);
    connection.reader.feed({piece, static_cast<std::size_t>(n)});
    pump(connection);
  }

  // Answers what has come, as far as the answers are taken.
  void pump(Connection& connection) {
    do {
      while (!connection.closes && connection.unsent.size() < kMaxUnsent &&
             take_request(connection)) {
      }
      if (!send(connection)) return finish(connection);
    } while (connection.unsent.empty() && !connection.closes && connection.reader.has_more());
    if (connection.finished) return;
    if (connection.unsent.empty() && connection.closes) return finish(connection);
    // Nothing further is read before the answers are taken.
    const std::uint32_t wanted = connection.unsent.empty() ? EPOLLIN : EPOLLOUT;
    if (!loop_.rewatch(connection.socket, connection, wanted)) finish(connection);
  }

  bool take_request(Connection& connection) {
    auto request = connection.reader.next();
    if (!request) {
      const bool too_long = request.error().code == Errc::limit;
      reply(connection, {.status = too_long ? 413U : 400U, .body = "not such a request\n"}, false);
      return false;
    }
    if (!*request) {
      if (connection.reader.wants_continue()) connection.unsent += "HTTP/1.1 100 Continue\r\n\r\n";
      return false;
    }
    answer(connection, **request);
    return true;
  }

  void answer(Connection& connection, const HttpRequest& request) {
    const std::string_view target = request.target;
    const bool is_monitor = target.starts_with('/') && target.ends_with(kMonitorEnd) &&
                            target.size() == 1 + 2 * sizeof(Hash) + kMonitorEnd.size();
    if (is_monitor && request.method == "GET") {
      return reply(connection, witness_.checkpoint(target.substr(1, 2 * sizeof(Hash))), request.keep_alive);
    }
    if (is_monitor) return reply(connection, {.status = 405, .body = "GET only\n"}, request.keep_alive);
    if (target != kPath) {
      return reply(connection,
                   {.status = 404, .body = "there are /add-checkpoint and /<origin hash>/checkpoint\n"},
                   request.keep_alive);
    }
    if (request.method != "POST") {
      return reply(connection, {.status = 405, .body = "POST only\n"}, request.keep_alive);
    }
    const auto response = witness_.add_checkpoint(request.body);
    if (response) return reply(connection, *response, request.keep_alive);
    failure_ = std::unexpected(response.error());
    finish(connection);
  }

  static void reply(Connection& connection, const HttpResponse& response, bool keep_alive) {
    connection.unsent += http_response(response, keep_alive);
    connection.closes = !keep_alive;
    connection.deadline_ms = sys::monotonic_ms() + kRequestMs;
  }

  static bool send(Connection& connection) {
    while (!connection.finished && !connection.unsent.empty()) {
      const ssize_t n = ::send(connection.socket.get(), connection.unsent.data(),
                               connection.unsent.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno == EAGAIN;
      connection.unsent.erase(0, static_cast<std::size_t>(n));
    }
    return true;
  }

  ipc::Loop loop_;
  Fd listener_;
  Fd signals_;
  Witness witness_;
  Port listener_port_{*this, &Server::on_listener};
  Port signal_port_{*this, &Server::on_signal};
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::uint64_t> finished_;
  std::uint64_t next_ = 1;
  bool stopping_ = false;
  Status failure_;
};

Result<Fd> bound(const addrinfo& address) {
  Fd socket = Fd::adopt(
      ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  const int on = 1;
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(socket.get(), address.ai_addr, address.ai_addrlen) != 0 ||
      ::listen(socket.get(), SOMAXCONN) != 0) {
    return fail_errno("cannot listen there");
  }
  return socket;
}

}  // namespace

Result<Fd> listen_on(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == address.npos) return fail(Errc::invalid, "an address is ADDR:PORT");
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  Addresses found;
  if (::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found.list) != 0) {
    return fail(Errc::invalid, "an address is ADDR:PORT, both as numbers");
  }
  return bound(*found.list);
}

std::string local_address(const Fd& listener) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  const bool v6 = address.ss_family == AF_INET6;
  return (v6 ? "[" : "") + std::string(host) + (v6 ? "]:" : ":") + port;
}

Status serve_witness(const sandbox::Sealed&, ipc::Loop loop, Fd listener, Fd signals,
                     Witness witness) {
  Server server(std::move(loop), std::move(listener), std::move(signals), std::move(witness));
  return server.serve();
}

}  // namespace oqto::audit
