#include "relay/connection.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "ipc/channel.h"
#include "relay/http_gate.h"
#include "relay/pump.h"
#include "relay/response.h"

namespace oqto::relay {
namespace {

// Seconds; enforced by alarm(2) with its default action, so that no bug of ours can outlast them.
constexpr unsigned kHandshakeSeconds = 10;  // TLS and the first request head
constexpr unsigned kHeadSeconds = 10;       // from the first byte of a later head to its last
constexpr unsigned kBodySeconds = 10;
constexpr unsigned kIdleSeconds = 60;      // between requests
constexpr unsigned kResponseSeconds = 20;  // plus one second per kSlowestBytesPerSecond
constexpr unsigned kSlowestBytesPerSecond = 8 * 1024;
constexpr unsigned kWaitSeconds = 30;  // more than the two waits below
constexpr unsigned kLingerSeconds = 2;
constexpr int kAuthReplyMs = 10'000;
constexpr int kHealthReplyMs = 6000;  // the guard waits three seconds for the parts
constexpr int kChannelReplyMs = 15'000;
constexpr std::size_t kMaxHandshakeBytes = 16 * 1024;
constexpr std::size_t kMaxLingerBytes = 64 * 1024;
constexpr int kMaxRequests = 1000;  // on one connection

class Connection {
 public:
  Connection(const Service& service, TlsStream tls)
      : service_(service),
        tls_(std::move(tls)),
        control_(Fd::adopt(kControlFd)),
        accounts_(Fd::adopt(kAccountsFd)) {}

  [[noreturn]] void run() {
    ::alarm(kHandshakeSeconds);
    handshake();
    for (int requests = 0; requests < kMaxRequests; ++requests) {
      const GateResult gate = read_head(requests == 0);
      if (gate.kind == GateResult::Kind::refused) refuse({gate.status, gate.why});
      keep_alive_ = !gate.request.wants_close && requests + 1 < kMaxRequests;
      answer(gate);
      if (!keep_alive_) close_gently();
    }
    end();
  }

 private:
  void handshake() {
    for (;;) {
      const Io io = tls_.handshake();
      if (io == Io::done) return;
      if (tls_.bytes_received() > kMaxHandshakeBytes) end();
      wait_tls(io);
    }
  }

  // False on timeout. The guard closing our control channel ends this process here.
  static bool wait_for(int fd, short events, int timeout_ms) {
    for (;;) {
      std::array<pollfd, 2> entries{{{fd, events, 0}, {kControlFd, POLLIN, 0}}};
      const int ready = ::poll(entries.data(), entries.size(), timeout_ms);
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0 || entries[1].revents != 0) end();
      return ready > 0;
    }
  }

  static void wait_tls(Io io) {
    if (io != Io::want_read && io != Io::want_write) end();
    (void)wait_for(kTcpFd, io == Io::want_read ? POLLIN : POLLOUT, -1);
  }

  void read_more() {
    std::array<char, 4096> bytes;
    for (;;) {
      const IoResult got = tls_.read(bytes);
      if (got.io == Io::done) {
        input_.append(bytes.data(), got.bytes);
        return;
      }
      wait_tls(got.io);
    }
  }

  void write_all(std::string_view bytes) {
    while (!bytes.empty()) {
      const IoResult put = tls_.write(bytes);
      if (put.io == Io::done) {
        bytes.remove_prefix(put.bytes);
      } else {
        wait_tls(put.io);
      }
    }
  }

  // The gate refuses a head that grows too long, which bounds input_.
  GateResult read_head(bool first) {
    if (!first && input_.empty()) {
      ::alarm(kIdleSeconds);
      read_more();
    }
    if (!first) ::alarm(kHeadSeconds);
    for (;;) {
      GateResult gate = parse_head(input_);
      if (gate.kind != GateResult::Kind::incomplete) return gate;
      read_more();
    }
  }

  void answer(const GateResult& gate) {
    const Request& request = gate.request;
    const Route where = route(request, service_.sites);
    if (const auto* rejection = std::get_if<Rejection>(&where)) {
      refuse(*rejection, request.method);
    } else if (const auto* auth = std::get_if<AuthRoute>(&where)) {
      answer_auth(gate, auth->endpoint);
    } else if (const auto* mux = std::get_if<MuxRoute>(&where)) {
      hand_over(gate, *mux);
    } else if (const auto* health = std::get_if<HealthRoute>(&where)) {
      answer_health(*health, request.method);
    } else {
      answer_asset(request);
    }
    input_.erase(0, gate.head_bytes + request.content_length);
  }

  void respond(const Head& head, std::string_view body, Method method) {
    ::alarm(kResponseSeconds + static_cast<unsigned>(body.size() / kSlowestBytesPerSecond));
    write_all(head.text);
    if (method != Method::head) write_all(body);
    if (head.close) keep_alive_ = false;
  }

  [[noreturn]] void refuse(const Rejection& rejection, Method method = Method::get) {
    const std::string body = error_body(rejection.status, rejection.why);
    respond(error_head(rejection.status, body, rejection.allow), body, method);
    close_gently();
  }

  // Ends so that the client can still read what was sent: closing with its bytes unread would make
  // the kernel throw our answer away.
  [[noreturn]] void close_gently() {
    ::alarm(kLingerSeconds);
    (void)tls_.close_notify();
    (void)::shutdown(kTcpFd, SHUT_WR);
    std::array<char, 4096> unread;
    for (std::size_t total = 0; total < kMaxLingerBytes;) {
      (void)wait_for(kTcpFd, POLLIN, -1);
      const ssize_t n = ::recv(kTcpFd, unread.data(), unread.size(), MSG_DONTWAIT);
      if (n <= 0) break;
      total += static_cast<std::size_t>(n);
    }
    end();
  }

  // The page keeps its place behind the `#`, so there are no other addresses than those in the pack.
  void answer_asset(const Request& request) {
    const Asset* asset = service_.assets.find(request.path);
    if (asset == nullptr) {
      respond(missing_head(), kMissingPage, request.method);
      close_gently();
    }
    if (request.method == Method::post) refuse({405, "only GET and HEAD are allowed here", "GET, HEAD"});
    const Encoding encoding = asset->choose(request.accept_encoding);
    respond(asset_head(*asset, encoding, keep_alive_),
            asset->bodies[static_cast<std::size_t>(encoding)], request.method);
  }

  void answer_health(const HealthRoute& health, Method method) {
    if (health.only_alive) return respond(health_head(200, kAliveBody, keep_alive_), kAliveBody, method);
    const bool ready = is_host_ready();
    const std::string_view body = ready ? kReadyBody : kNotReadyBody;
    respond(health_head(ready ? 200 : 503, body, keep_alive_), body, method);
  }

  // The guard asks the parts at most once a second, however many want to know. A late answer finds
  // nobody: after a 503 the connection ends.
  bool is_host_ready() {
    ::alarm(kWaitSeconds);
    if (!control_.send(ipc::Probe{})) end();
    const auto received = control_.wait(kHealthReplyMs);
    if (!received && received.error().code == Errc::unavailable) end();
    if (!received) return false;
    const auto probed = received->as<ipc::Probed>();
    return probed && probed->ok == 1;
  }

  void answer_auth(const GateResult& gate, ipc::AuthEndpoint endpoint) {
    ipc::AuthCall call;
    call.endpoint = endpoint;
    if (gate.request.token) {
      call.has_token = 1;
      call.token = *gate.request.token;
    }
    if (gate.request.device) {
      call.has_device = 1;
      call.device = *gate.request.device;
    }
    call.agent = gate.request.user_agent;
    ::alarm(kBodySeconds);
    const std::size_t size = gate.request.content_length;
    // From here on the request's views may dangle: input_ grows.
    while (input_.size() < gate.head_bytes + size) read_more();
    call.body.value = input_.substr(gate.head_bytes, size);
    ::alarm(kWaitSeconds);
    const auto reply = ask_accounts(call);
    if (!reply) refuse({503, "signing in is not available right now: try again in a moment"});
    respond(auth_head(*reply, endpoint == ipc::AuthEndpoint::logout, keep_alive_),
            reply->body.value, Method::get);
  }

  std::optional<ipc::AuthReply> ask_accounts(const ipc::AuthCall& call) {
    if (!accounts_.send(call) || !wait_for(kAccountsFd, POLLIN, kAuthReplyMs)) return std::nullopt;
    const auto received = accounts_.receive();
    if (!received) return std::nullopt;
    auto reply = received->as<ipc::AuthReply>();
    if (!reply || reply->status < 200 || reply->status > 599) return std::nullopt;
    if (reply->status == 204) reply->body.value.clear();
    return *std::move(reply);
  }

  [[noreturn]] void hand_over(const GateResult& gate, const MuxRoute& mux) {
    if (!gate.request.token) refuse({401, "sign in first"});
    ::alarm(kWaitSeconds);
    Fd stream = open_channel(*gate.request.token);
    std::string first = canonical_head(gate.request, mux);
    first.append(input_, gate.head_bytes);
    ::explicit_bzero(input_.data(), input_.size());  // the cookie
    std::string().swap(input_);
    accounts_ = ipc::Channel();
    (void)::close(kProgressFd);
    ::alarm(0);
    pump(tls_, stream.release(), first);
  }

  Fd open_channel(const ipc::Token& token) {
    if (!control_.send(ipc::OpenChannel{token, ipc::ChannelKind::mux})) end();
    auto received = control_.wait(kChannelReplyMs);
    if (!received && received.error().code == Errc::unavailable) end();
    if (!received) refuse({503, "your agents cannot be reached right now: try again in a moment"});
    if (received->tag == ipc::Tag::channel_opened) {
      if (received->as<ipc::ChannelOpened>()) return std::move(received->fd);
      end();
    }
    const auto refused = received->as<ipc::ChannelRefused>();
    if (!refused) end();
    if (refused->refusal == ipc::Refusal::unauthenticated) refuse({401, "sign in first"});
    if (refused->refusal == ipc::Refusal::forbidden) refuse({403, "this account may not do that"});
    refuse({503, "your agents cannot be reached right now: try again in a moment"});
  }

  // Built from pieces that passed the gate and the site table; no byte of the client's own head,
  // and above all not the cookie, reaches the runner.
  static std::string canonical_head(const Request& request, const MuxRoute& mux) {
    std::string head = "GET /ws/mux HTTP/1.1\r\nHost: ";
    head += mux.authority;
    head += "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ";
    head += request.websocket_key;
    head += "\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ";
    head += kMuxProtocol;
    head += "\r\nOrigin: ";
    head += mux.origin;
    head += "\r\n\r\n";
    return head;
  }

  const Service& service_;
  TlsStream tls_;
  ipc::Channel control_;
  ipc::Channel accounts_;
  std::string input_;  // received and not yet consumed
  bool keep_alive_ = true;
};

}  // namespace

void serve_connection(const Service& service) {
  auto tls = service.tls.stream(kTcpFd);
  if (!tls) end();
  Connection(service, *std::move(tls)).run();
}

}  // namespace oqto::relay
