#include "egress/session.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "egress/connection.h"
#include "egress/session_parts.h"

namespace oqto::egress {
namespace {

using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kSweepEvery = std::chrono::seconds(1);
constexpr auto kBreath = std::chrono::milliseconds(100);  // after accept() failed
constexpr int kBacklog = 64;

Result<int> socket_option(const Fd& socket, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) != 0) {
    return fail_errno("getsockopt");
  }
  return value;
}

}  // namespace

std::size_t descriptors_beside(std::size_t others) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  const std::size_t most = static_cast<std::size_t>(files.rlim_cur);
  return most > others ? most - others : 0;
}

Session::Session(Shared& shared, SessionSetup setup)
    : shared_(shared),
      setup_(std::move(setup)),
      refusals_(*setup_.records),
      timer_(shared.io),
      dns_(shared.io),
      dns_tcp_(shared.io) {}

Session::~Session() = default;

void Session::start() {
  for (const Rules::Exact& exact : setup_.rules.exact()) {
    if (!begin(exact.name, exact.ports, false, Time::max())) {
      refuse(exact.name, 0, "the policy names more hosts and ports than there are listeners");
      continue;
    }
    names_.find(exact.name)->kept = true;
  }
  asio::co_spawn(shared_.io, sweep(shared_from_this()), asio::detached);
}

asio::awaitable<bool> Session::reserved() {
  bool all = true;
  for (const Rules::Exact& exact : setup_.rules.exact()) {
    std::string name = exact.name;
    const Verdict found = co_await opened(std::move(name));
    all = all && found.code == Rcode::no_error;
  }
  co_return all;
}

Status Session::serve_udp(Fd socket) {
  const bool v4 = TRY(socket_option(socket, SO_DOMAIN)) == AF_INET;
  if (!v4 || TRY(socket_option(socket, SO_TYPE)) != SOCK_DGRAM || dns_.is_open()) {
    return fail(Errc::denied, "the DNS socket must be one IPv4 UDP socket");
  }
  error_code error;
  dns_.assign(asio::ip::udp::v4(), socket.get(), error);
  if (error) return fail(Errc::io, "the DNS socket cannot be watched");
  (void)socket.release();
  asio::co_spawn(shared_.io, receive_queries(shared_from_this()), asio::detached);
  return {};
}

Status Session::serve_tcp(Fd listener) {
  const bool v4 = TRY(socket_option(listener, SO_DOMAIN)) == AF_INET;
  const bool listens = TRY(socket_option(listener, SO_ACCEPTCONN)) != 0;
  if (!v4 || TRY(socket_option(listener, SO_TYPE)) != SOCK_STREAM || !listens ||
      dns_tcp_.is_open()) {
    return fail(Errc::denied, "the DNS listener must be one listening IPv4 TCP socket");
  }
  error_code error;
  dns_tcp_.assign(tcp::v4(), listener.get(), error);
  if (error) return fail(Errc::io, "the DNS listener cannot be watched");
  (void)listener.release();
  asio::co_spawn(shared_.io, accept_queries(shared_from_this()), asio::detached);
  return {};
}

void Session::close() {
  if (std::exchange(closed_, true)) return;
  error_code ignored;
  timer_.cancel();
  dns_.close(ignored);
  dns_tcp_.close(ignored);
  for (tcp::socket* stream : dns_streams_) stream->close(ignored);
  for (const auto& [address, listener] : listeners_) {
    listener->acceptor.close(ignored);
    listener->resume.notify();
  }
  listeners_.clear();
  for (const auto& [address, opening] : opening_) opening->changed.notify();
  for (const auto& [name, question] : questions_) question->answered.notify();
  for (Connection* connection : connections_) connection->close();
  refusals_.flush(Time::max());
}

void Session::refuse(std::string host, std::uint16_t port, std::string reason) {
  refusals_.add({ipc::Event::network, std::move(host), port, std::move(reason)}, Clock::now());
}

asio::awaitable<void> Session::sweep([[maybe_unused]] std::shared_ptr<Session> self) {
  while (!closed_) {
    timer_.expires_after(kSweepEvery);
    co_await timer_.async_wait(kToken);
    if (closed_) co_return;
    const Time now = Clock::now();
    refusals_.flush(now);
    std::erase_if(decided_, [&](const auto& entry) { return entry.second.until <= now; });
    const std::set<Connection*> all = connections_;
    for (Connection* connection : all) connection->close_if_idle(now);
  }
}

// --- listeners ---

asio::awaitable<void> Session::open([[maybe_unused]] std::shared_ptr<Session> self,
                                    std::uint32_t address) {
  Ports ports = names_.at(address)->ports;
  const Status done = co_await listen_on(address, std::move(ports));
  if (closed_) co_return;
  const auto waiting = opening_.find(address);
  Entry& entry = *names_.at(address);
  if (done) {
    entry.state = Entry::State::ready;
  } else {
    refuse(entry.name, 0, done.error().what);
    error_code ignored;
    const auto [first, last] = listeners_.equal_range(address);
    for (auto at = first; at != last; ++at) at->second->acceptor.close(ignored);
    listeners_.erase(first, last);
    if (entry.kept) {
      entry.state = Entry::State::failed;
    } else {
      names_.drop(entry);
    }
  }
  waiting->second->changed.notify();
  opening_.erase(waiting);
}

asio::awaitable<Status> Session::listen_on(std::uint32_t address, Ports ports) {
  for (const std::uint16_t port : ports) {
    auto listener = std::make_shared<Listener>(shared_, setup_.owner, address, port);
    if (!listener->granted) co_return fail(Errc::limit, "too many listeners");
    Result<Fd> socket = co_await setup_.listeners->listen(address, port);
    if (closed_) co_return fail(Errc::unavailable, "the session has ended");
    if (!socket) co_return std::unexpected(socket.error());
    error_code error;
    listener->acceptor.assign(tcp::v4(), socket->get(), error);
    if (error) co_return fail(Errc::io, "a listener cannot be watched");
    (void)socket->release();
    listeners_.emplace(address, listener);
    asio::co_spawn(shared_.io, accept_from(shared_from_this(), listener), asio::detached);
  }
  co_return Status();
}

asio::awaitable<void> Session::wait_for(Pace& pace) {
  for (auto wait = pace.take(Clock::now()); wait.count() != 0; wait = pace.take(Clock::now())) {
    asio::steady_timer timer(shared_.io, wait);
    co_await timer.async_wait(kToken);
    if (closed_) co_return;
  }
}

asio::awaitable<void> Session::accept_from([[maybe_unused]] std::shared_ptr<Session> self,
                                           std::shared_ptr<Listener> from) {
  while (!closed_ && from->acceptor.is_open()) {
    auto [error, socket] = co_await from->acceptor.async_accept(kToken);
    if (closed_ || !from->acceptor.is_open()) co_return;
    if (!error) {
      admit(std::move(socket), *from);
      co_await wait_for(accepts_);
      continue;
    }
    const bool paused = from->paused_until > Clock::now();
    co_await from->resume.wait_until(paused ? from->paused_until : Clock::now() + kBreath);
    if (closed_ || !from->acceptor.is_open()) co_return;
    if (paused) (void)::listen(from->acceptor.native_handle(), kBacklog);
  }
}

void Session::pause(std::uint32_t address, std::uint16_t port) {
  const auto [first, last] = listeners_.equal_range(address);
  for (auto at = first; at != last; ++at) {
    Listener& listener = *at->second;
    if (listener.port != port || listener.paused_until > Clock::now()) continue;
    listener.paused_until = Clock::now() + kPause;
    // It stays bound, so nobody inside can take its place.
    (void)::shutdown(listener.acceptor.native_handle(), SHUT_RD);
  }
}

// --- connections ---

void Session::admit(tcp::socket socket, const Listener& from) {
  Entry* const entry = names_.at(from.address);
  const Time now = Clock::now();
  if (entry == nullptr || entry->name.empty() || entry->ends <= now) {
    reset(socket);
    return;
  }
  if (connections_.size() >= kMaxConnections ||
      !shared_.descriptors->take(setup_.owner, kPerConnection)) {
    refuse(entry->name, from.port, "too many connections");
    reset(socket);
    return;
  }
  ++entry->connections;
  entry->used = now;
  std::string rule(setup_.rules.rule_for(entry->name, from.port));
  if (entry->approved) rule = "approved by the user";
  const auto connection =
      std::make_shared<Connection>(shared_from_this(), std::move(socket),
                                   Target{entry->name, from.address, from.port, std::move(rule)});
  connections_.insert(connection.get());
  asio::co_spawn(shared_.io, connection->run(connection), asio::detached);
}

void Session::ended(Connection& connection) {
  connections_.erase(&connection);
  shared_.descriptors->give_back(setup_.owner, kPerConnection);
  if (Entry* const entry = names_.at(connection.target.address)) {
    --entry->connections;
    entry->used = Clock::now();
  }
}

}  // namespace oqto::egress
