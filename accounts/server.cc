#include "accounts/server.h"

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::accounts {

using ipc::Tag;

namespace {

constexpr int kMessagesPerTurn = 16;  // of one busy channel, before the others have their turn

bool is_nothing_there(const Error& error) { return error.code == Errc::limit; }

}  // namespace

Server::Server(ServerParts parts) : parts_(std::move(parts)) {}

Server::~Server() {
  for (auto& [number, peer] : peers_) parts_.loop.unwatch(peer.channel.fd(), *peer.watcher);
}

Status Server::watch_all() {
  TRY(parts_.loop.watch(parts_.guard.fd(), guard_watcher_));
  TRY(parts_.loop.watch(parts_.relay.fd(), relay_watcher_));
  TRY(parts_.loop.watch(parts_.hasher.fd(), hasher_watcher_));
  return parts_.loop.watch(parts_.signals, signal_watcher_);
}

Status Server::run(Service& service) {
  service_ = &service;
  TRY(watch_all());
  to_guard(ipc::Ready{});
  std::uint64_t next_sweep = 0;
  while (!stopping_) {
    std::uint64_t now = sys::monotonic_ms();
    if (now >= next_sweep) {
      service.sweep();
      next_sweep = now + kSweepEveryMs;
      now = sys::monotonic_ms();
    }
    const std::uint64_t due = service.owes() ? std::min(next_sweep, now + kSettleEveryMs) : next_sweep;
    TRY(parts_.loop.run_once(due > now ? static_cast<int>(due - now) : 0));
    service.settle_owed();
    for (const std::uint64_t number : ended_) peers_.erase(number);
    ended_.clear();
  }
  return result_;
}

void Server::fail_with(Error error) {
  result_ = std::unexpected(error);
  stopping_ = true;
}

void Server::violation(std::string_view who, std::string_view remote) {
  log::warn("a peer broke the protocol: its channel is closed",
            {{"peer", who}, {"remote", remote}});
  const auto recorded = parts_.recorder.happened(
      ipc::Event::violation, ipc::Outcome::failure,
      {{ipc::FieldKey::process, std::string(who)}, {ipc::FieldKey::remote, std::string(remote)}});
  if (!recorded) log::error("the violation could not be recorded", recorded.error());
}

// --- guard ---------------------------------------------------------------------------------------

void Server::on_guard() {
  flush_to_guard();
  for (int i = 0; i < kMessagesPerTurn && !stopping_; ++i) {
    auto message = parts_.guard.receive();
    if (!message && is_nothing_there(message.error())) return;
    if (!message && message.error().code == Errc::unavailable) {
      stopping_ = true;  // the guard is gone: that is the orderly end
      return;
    }
    if (!message) return fail_with(message.error());
    if (const auto status = from_guard(*message); !status) return fail_with(status.error());
  }
}

Status Server::from_guard(ipc::Received& message) {
  switch (message.tag) {
    case Tag::wire: return wire(message);
    case Tag::admin_peer: return add_operator(message);
    case Tag::check_logins: return check_logins(TRY(message.as<ipc::CheckLogins>()));
    case Tag::probe: return probe(TRY(message.as<ipc::Probe>()));
    case Tag::lookup_token: return lookup(TRY(message.as<ipc::LookupToken>()));
    default: return fail(Errc::bad_message, "the guard sent a message that accounts does not take");
  }
}

Status Server::wire(ipc::Received& message) {
  const auto wire = TRY(message.as<ipc::Wire>());
  switch (wire.role) {
    case ipc::WireRole::audit:
      parts_.recorder.replace(ipc::Channel(std::move(message.fd)));
      return {};
    case ipc::WireRole::peer:
      lose_relay();
      parts_.relay = ipc::Channel(std::move(message.fd));
      return parts_.loop.watch(parts_.relay.fd(), relay_watcher_);
    case ipc::WireRole::kEnd: break;
  }
  return fail(Errc::bad_message, "an unknown wire role");
}

Status Server::add_operator(ipc::Received& message) {
  const auto peer = TRY(message.as<ipc::AdminPeer>());
  if (operators_ >= kMaxOperators) return {};  // the closed channel tells the operator
  add_peer(std::move(message.fd), "oqtoctl", Operator{peer.operator_uid, peer.operator_name.str()});
  return {};
}

Status Server::lookup(const ipc::LookupToken& ask) {
  const auto login = service_->find_login(ask.token);
  if (!login) log::error("a token could not be looked up", login.error());
  if (!login || !*login) {
    to_guard(ipc::TokenUnknown{.request = ask.request});
    return {};
  }
  const Account& account = (*login)->account;
  to_guard(ipc::TokenOwner{.request = ask.request, .login = (*login)->id, .account = account.id,
                           .role = account.role, .username = std::string_view(account.username)});
  return {};
}

template <class T>
static std::vector<T> numbers(std::string_view bytes) {
  std::vector<T> list(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < list.size() * sizeof(T); ++i) {
    list[i / sizeof(T)] |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << 8 * (i % sizeof(T));
  }
  return list;
}

// What this process's predecessor may have left unsaid. If it cannot be told, nothing is served either.
Status Server::check_logins(const ipc::CheckLogins& ask) {
  return service_->check(numbers<std::uint64_t>(ask.logins.value), numbers<std::uint32_t>(ask.accounts.value));
}

Status Server::probe(const ipc::Probe& ask) {
  const Status done = service_->probe();
  to_guard(ipc::Probed{ask.request, static_cast<std::uint8_t>(done.has_value()), done ? "" : done.error().what});
  return {};
}

void Server::revoked(std::uint64_t login) { to_guard(ipc::LoginRevoked{.login = login}); }
void Server::ended(std::uint32_t account, bool disabled) {
  to_guard(ipc::AccountEnded{.account = account, .disabled = disabled ? std::uint8_t{1} : std::uint8_t{0}});
}

void Server::to_guard(ToGuard message) {
  if (guard_queue_.size() >= kMaxQueuedToGuard) {
    return fail_with({Errc::limit, "the guard does not read its channel", 0});
  }
  guard_queue_.push_back(std::move(message));
  flush_to_guard();
}

void Server::flush_to_guard() {
  while (!guard_queue_.empty()) {
    const auto sent = std::visit([this](const auto& message) { return parts_.guard.send(message); },
                                 guard_queue_.front());
    if (!sent && is_nothing_there(sent.error())) break;
    if (!sent) {
      stopping_ = true;
      return;
    }
    guard_queue_.pop_front();
  }
  const std::uint32_t events = guard_queue_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
  if (const auto status = parts_.loop.rewatch(parts_.guard.fd(), guard_watcher_, events); !status) {
    fail_with(status.error());
  }
}

// --- relay ---------------------------------------------------------------------------------------

void Server::on_relay() {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    auto message = parts_.relay.receive();
    if (!message && is_nothing_there(message.error())) return;
    if (!message && message.error().code == Errc::unavailable) return lose_relay();
    const auto peer = message ? message->as<ipc::AuthPeer>()
                              : Result<ipc::AuthPeer>(std::unexpected(message.error()));
    if (!peer) {
      violation("relay", "");
      return lose_relay();
    }
    add_peer(std::move(message->fd), peer->remote.str(), std::nullopt);
  }
}

// The connection processes that the old relay has handed in go on; the guard wires a new one.
void Server::lose_relay() {
  if (!parts_.relay) return;
  parts_.loop.unwatch(parts_.relay.fd(), relay_watcher_);
  parts_.relay = ipc::Channel();
}

// --- connections and operators -------------------------------------------------------------------

void Server::add_peer(Fd fd, std::string remote, std::optional<Operator> who) {
  if (peers_.size() >= parts_.max_connections) {
    return log::warn("too many connections: one was refused", {{"remote", remote}});
  }
  const std::uint64_t number = next_peer_++;
  Peer& peer = peers_[number];
  peer.channel = ipc::Channel(std::move(fd));
  peer.remote = std::move(remote);
  peer.operated_by = std::move(who);
  peer.watcher = std::make_unique<OnReady>([this, number] { on_peer(number); });
  if (peer.operated_by) ++operators_;
  if (const auto watched = parts_.loop.watch(peer.channel.fd(), *peer.watcher); !watched) {
    log::error("a connection cannot be watched", watched.error());
    if (peer.operated_by) --operators_;
    peers_.erase(number);
  }
}

void Server::end_peer(std::uint64_t number) {
  Peer& peer = peers_.at(number);
  parts_.loop.unwatch(peer.channel.fd(), *peer.watcher);
  if (peer.operated_by) --operators_;
  peer.operated_by.reset();
  ended_.push_back(number);
}

void Server::on_peer(std::uint64_t number) {
  Peer& peer = peers_.at(number);
  auto message = peer.channel.receive();
  if (!message && is_nothing_there(message.error())) return;
  if (!message && message.error().code == Errc::unavailable) return end_peer(number);
  const auto status = message ? from_peer(number, peer, *message)
                              : Status(std::unexpected(message.error()));
  if (status) return;
  if (status.error().code == Errc::bad_message) {
    violation(peer.operated_by ? "oqtoctl" : "relay connection", peer.remote);
  }
  end_peer(number);
}

Status Server::from_peer(std::uint64_t number, Peer& peer, ipc::Received& message) {
  if (peer.operated_by) {
    return peer.channel.send(service_->admin(TRY(message.as<ipc::AdminCall>()), *peer.operated_by));
  }
  auto ask = TRY(message.as<ipc::AuthCall>());
  if (peer.busy || ask.has_token > 1 || ask.has_device > 1) {
    return fail(Errc::bad_message, "a second call before the answer, or a bad flag");
  }
  peer.busy = true;
  Call call{.remote = peer.remote, .endpoint = ask.endpoint, .token = std::nullopt, .device = std::nullopt,
            .agent = ask.agent.str(), .body = std::move(ask.body.value)};
  std::erase_if(call.agent, [](char c) { return c < ' ' || c > '~'; });
  if (ask.has_token == 1) call.token = sha256(ask.token);
  if (ask.has_device == 1) call.device = ask.device;
  service_->handle(std::move(call),
                   [this, number](const ipc::AuthReply& reply) { answer(number, reply); });
  return {};
}

void Server::answer(std::uint64_t number, const ipc::AuthReply& reply) {
  const auto found = peers_.find(number);
  if (found == peers_.end()) return;  // it left while its password was being checked
  found->second.busy = false;
  const bool ended = std::find(ended_.begin(), ended_.end(), number) != ended_.end();
  if (!ended && !found->second.channel.send(reply)) end_peer(number);
}

}  // namespace oqto::accounts
