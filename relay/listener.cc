#include "relay/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::relay {
namespace {

constexpr std::uint64_t kFirstByteMs = 5000;
constexpr int kAcceptsPerTurn = 32;
constexpr std::size_t kBuckets = 1024;
constexpr std::uint32_t kBurstSeconds = 4;
// Every connection process has the same address layout: whoever can crash one may be guessing at
// it. After this many crashes the listener ends, and the guard starts one with a fresh layout.
constexpr std::uint32_t kMaxCrashes = 16;
constexpr int kSealFailed = 70;  // exit status of a connection process that could not be sealed

void set_option(const Fd& socket, int level, int name, int value) {
  (void)::setsockopt(socket.get(), level, name, &value,
                     sizeof value);  // best effort: a dead client
}

// A client that vanished is noticed within about two minutes, one that stops acknowledging in one.
void tune(const Fd& tcp) {
  set_option(tcp, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(tcp, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(tcp, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(tcp, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_option(tcp, IPPROTO_TCP, TCP_KEEPCNT, 4);
  set_option(tcp, IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
}

void reset(Fd tcp) {  // keeps no state for a client that was refused; SO_LINGER is not for us
  set_option(tcp, IPPROTO_TCP, TCP_LINGER2, -1);
}

std::size_t random_below(std::size_t count) {
  std::uint64_t number = 0;
  sys::fill_random(std::span(reinterpret_cast<std::uint8_t*>(&number), sizeof number));
  return number % count;
}

bool is_unproven(const Slot& slot) {
  return slot.state == Slot::State::waiting || slot.state == Slot::State::unproven;
}

}  // namespace

void Slot::on_ready(std::uint32_t) {
  if (state == State::waiting) return owner->first_byte(*this);
  if (state == State::unproven) state = State::proven;
  owner->loop_.unwatch(progress, *this);
  progress.reset();
}

Result<Listener*> Listener::create(Wiring wiring, const Service& service, CertificateInForce& certificate,
                                   const ConnectionJail& jail, const Limits& limits) {
  ipc::Loop loop = TRY(ipc::Loop::create());
  Tables tables{TRY(UnsharedArray<Slot>::create(limits.connections)),
                TRY(UnsharedArray<Bucket>::create(kBuckets))};
  TRY(sys::set_nonblocking(wiring.socket, true));
  auto* listener = new Listener(std::move(wiring), service, certificate, jail, limits, std::move(loop),
                                std::move(tables));  // lives as long as the process
  TRY(listener->watch_all());
  return listener;
}

Listener::Listener(Wiring wiring, const Service& service, CertificateInForce& certificate, const ConnectionJail& jail,
                   const Limits& limits, ipc::Loop loop, Tables tables)
    : wiring_(std::move(wiring)),
      service_(service),
      certificate_(certificate),
      jail_(jail),
      limits_(limits),
      loop_(std::move(loop)),
      tables_(std::move(tables)),
      rate_(tables_.buckets.items(), limits.rate_per_network,
            limits.rate_per_network * kBurstSeconds) {
  for (Slot& slot : tables_.slots.items()) slot.owner = this;
}

Status Listener::watch_all() {
  const auto watch = [&](const Fd& fd, Part& part, void (Listener::*handler)()) {
    part.owner = this;
    part.handler = handler;
    return loop_.watch(fd, part);
  };
  TRY(watch(wiring_.socket, accept_part_, &Listener::on_accept));
  TRY(watch(wiring_.guard.fd(), guard_part_, &Listener::on_guard));
  TRY(watch(wiring_.audit.fd(), audit_part_, &Listener::on_audit));
  TRY(watch(wiring_.accounts.fd(), accounts_part_, &Listener::on_accounts));
  return watch(wiring_.signals, signal_part_, &Listener::on_signal);
}

Status Listener::run() {
  TRY(tell_certificate());
  TRY(wiring_.guard.send(ipc::Ready{}));
  while (!stopping_ && !broken_) {
    TRY(loop_.run_once(!answers_.empty() ? 50 : waiting_ > 0 ? 500 : -1));
    if (waiting_ > 0) expire();
    answer_reloads();
  }
  if (broken_) return std::unexpected(*broken_);
  if (asked_to_end_) outlive_connections();
  return {};
}

// The whole host stops. Who serves the connections closes them, or the guard has closed their control ends: they end
// by themselves, and whoever stopped the host finds nothing left of it.
void Listener::outlive_connections() {
  constexpr std::uint64_t kPatienceMs = 2000;
  loop_.unwatch(wiring_.socket, accept_part_);
  if (wiring_.guard) loop_.unwatch(wiring_.guard.fd(), guard_part_);
  const std::uint64_t deadline = sys::monotonic_ms() + kPatienceMs;
  const auto slots = tables_.slots.items();
  const auto alive = [&] {
    return std::ranges::any_of(slots, [](const Slot& slot) { return slot.pid > 0; });
  };
  while (alive() && sys::monotonic_ms() < deadline) (void)loop_.run_once(20);
  for (const Slot& slot : slots) {
    if (slot.pid > 0) (void)::kill(slot.pid, SIGKILL);
  }
}

void Listener::on_guard() {
  auto received = wiring_.guard.receive();
  if (!received) {
    if (received.error().code == Errc::unavailable) stopping_ = true;
    if (received.error().code == Errc::bad_message) broken_ = received.error();
    return;
  }
  if (const auto reloading = received->as<ipc::Reload>()) return reload(*reloading, std::move(received->fd));
  const auto wire = received->as<ipc::Wire>();
  if (!wire) {
    broken_ = Error{Errc::bad_message, "the guard sent a message that the relay does not take"};
    return;
  }
  rewire(wire->role, std::move(received->fd));
}

void Listener::rewire(ipc::WireRole role, Fd fd) {
  const bool audit = role == ipc::WireRole::audit;
  if (!audit && role != ipc::WireRole::peer) return;
  ipc::Channel& channel = audit ? wiring_.audit : wiring_.accounts;
  Part& part = audit ? audit_part_ : accounts_part_;
  if (channel) loop_.unwatch(channel.fd(), part);
  channel = ipc::Channel(std::move(fd));
  if (const auto watched = loop_.watch(channel.fd(), part); !watched) broken_ = watched.error();
}

void Listener::reload(const ipc::Reload& offered, Fd file) {
  const auto answer = certificate_.take(offered, std::move(file));
  if (!answer) return;
  log::info("another certificate was offered", {{"taken", static_cast<int>(answer->ok)}, {"what", answer->what.view()}});
  answers_.push_back(*answer);
  owes_facts_ = true;
  answer_reloads();
}

// A guard that does not read yet is no reason to end: run() tries again.
void Listener::answer_reloads() {
  while (!answers_.empty() && !broken_) {
    Status sent = owes_facts_ ? tell_certificate() : Status();
    if (sent) owes_facts_ = false;
    if (sent) sent = wiring_.guard.send(answers_.front());
    if (!sent && sent.error().code == Errc::limit) return;
    sent ? answers_.pop_front() : void(broken_ = sent.error());
  }
}

// From when until when the one in force is valid.
Status Listener::tell_certificate() {
  return wiring_.guard.send(ipc::CertificateFacts{service_.tls.not_before_ms(), service_.tls.not_after_ms()});
}

// Acknowledgements are not waited for: a crash has happened, recorded or not.
void Listener::on_audit() {
  const auto received = wiring_.audit.receive();
  if (received || received.error().code == Errc::limit) return;
  loop_.unwatch(wiring_.audit.fd(), audit_part_);
  wiring_.audit = ipc::Channel();
}

void Listener::on_accounts() {
  const auto received = wiring_.accounts.receive();
  if (received || received.error().code == Errc::limit) return;
  log::warn("accounts is gone: signing in fails until the guard wires a new one");
  loop_.unwatch(wiring_.accounts.fd(), accounts_part_);
  wiring_.accounts = ipc::Channel();
}

void Listener::on_signal() {
  signalfd_siginfo info;
  while (::read(wiring_.signals.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      reap();
    } else {
      stopping_ = asked_to_end_ = true;
    }
  }
}

void Listener::on_accept() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    Fd tcp = Fd::adopt(::accept4(wiring_.socket.get(), reinterpret_cast<sockaddr*>(&address), &size,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!tcp) return;  // none left, or the client is gone again
    admit(std::move(tcp), address);
  }
}

void Listener::admit(Fd tcp, const sockaddr_storage& address) {
  const Network network = network_of(address);
  const std::uint64_t now = sys::monotonic_ms();
  if (!rate_.allow(network, now) || !make_room(network)) return reset(std::move(tcp));
  const auto slots = tables_.slots.items();
  const auto found = std::ranges::find(slots, Slot::State::free, &Slot::state);
  if (found == slots.end()) return reset(std::move(tcp));
  tune(tcp);
  if (!loop_.watch(tcp, *found)) return reset(std::move(tcp));
  found->state = Slot::State::waiting;
  found->network = network;
  found->remote = remote_text(address);
  found->connection = next_connection_++;
  found->deadline_ms = now + kFirstByteMs;
  found->tcp = std::move(tcp);
  ++waiting_;
}

// At most one is displaced for each newcomer. False: it must be refused.
bool Listener::make_room(const Network& network) {
  std::uint32_t used = 0, unproven = 0, near = 0, near_unproven = 0;
  for (const Slot& slot : tables_.slots.items()) {
    if (slot.state == Slot::State::free) continue;
    const bool same = slot.network == network;
    ++used;
    if (same) ++near;
    if (is_unproven(slot)) ++unproven;
    if (same && is_unproven(slot)) ++near_unproven;
  }
  if (near_unproven >= limits_.unproven_per_network || near >= limits_.per_network) {
    return displace(near_unproven, &network);
  }
  if (unproven >= limits_.unproven || used >= limits_.connections) {
    return displace(unproven, nullptr);
  }
  return true;
}

// Ends one of `count` unproven connections, each with the same chance; of one network if given.
bool Listener::displace(std::uint32_t count, const Network* network) {
  if (count == 0) return false;
  std::size_t skip = random_below(count);
  for (Slot& slot : tables_.slots.items()) {
    if (!is_unproven(slot) || (network != nullptr && slot.network != *network)) continue;
    if (skip-- > 0) continue;
    evict(slot);
    return true;
  }
  return false;
}

void Listener::evict(Slot& slot) {
  if (slot.state == Slot::State::waiting) return drop(slot);
  slot.state = Slot::State::evicted;
  (void)::kill(slot.pid, SIGKILL);  // ours and not yet reaped: the number cannot be another's
}

void Listener::drop(Slot& slot) {
  loop_.unwatch(slot.tcp, slot);
  reset(std::move(slot.tcp));
  release(slot);
}

void Listener::release(Slot& slot) {
  if (slot.state == Slot::State::waiting) --waiting_;
  if (slot.progress) loop_.unwatch(slot.progress, slot);
  slot.progress.reset();
  slot.tcp.reset();
  slot.pid = 0;
  slot.state = Slot::State::free;
}

void Listener::first_byte(Slot& slot) {
  char byte;
  const ssize_t n = ::recv(slot.tcp.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return drop(slot);
  start(slot);
}

// Tells the guard and accounts of the connection; leaves its own ends of both channels.
Status Listener::announce(Slot& slot, Fd& control, Fd& accounts) {
  auto to_guard = TRY(sys::seqpacket_pair());
  auto to_accounts = TRY(sys::seqpacket_pair());
  TRY(wiring_.guard.send(ipc::ConnectionOpened{slot.connection, slot.remote}, to_guard.first));
  // Without accounts the connection still serves the page, and says that signing in must wait.
  if (wiring_.accounts) {
    (void)wiring_.accounts.send(ipc::AuthPeer{slot.connection, slot.remote}, to_accounts.first);
  }
  control = std::move(to_guard.second);
  accounts = std::move(to_accounts.second);
  return {};
}

void Listener::start(Slot& slot) {
  loop_.unwatch(slot.tcp, slot);
  Fd control, accounts;
  int ends[2] = {-1, -1};
  const Status announced = announce(slot, control, accounts);
  const bool piped = announced && ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0;
  slot.progress = Fd::adopt(ends[0]);
  const Fd progress = Fd::adopt(ends[1]);
  if (!piped || !loop_.watch(slot.progress, slot)) {
    log::warn("a connection was refused",
              {{"why", announced ? "descriptors" : announced.error().what}});
    slot.progress.reset();
    reset(std::move(slot.tcp));
    return release(slot);
  }
  const int tcp = slot.tcp.get();  // the child does not have the slot
  const pid_t pid = ::fork();
  if (pid == 0) become_connection(tcp, control.get(), accounts.get(), progress.get());
  if (pid < 0) {
    log::warn("fork failed", {{"errno", errno}});
    reset(std::move(slot.tcp));
    return release(slot);
  }
  --waiting_;
  slot.tcp.reset();
  slot.pid = pid;
  slot.state = Slot::State::unproven;
}

// In the child. Nothing of the listener's is left but read-only service data.
void Listener::become_connection(int tcp, int control, int accounts, int progress) {
  sigset_t none;
  sigemptyset(&none);
  const bool arranged = ::dup2(tcp, kTcpFd) >= 0 && ::dup2(control, kControlFd) >= 0 &&
                        ::dup2(accounts, kAccountsFd) >= 0 && ::dup2(progress, kProgressFd) >= 0 &&
                        sys::close_from(kConnectionFds) &&
                        ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 && jail_.enter();
  if (!arranged) ::_exit(kSealFailed);
  serve_connection(service_);
}

void Listener::reap() {
  int status = 0;
  while (const pid_t pid = ::waitpid(-1, &status, WNOHANG)) {
    if (pid < 0) return;
    const auto slots = tables_.slots.items();
    const auto found = std::ranges::find(slots, pid, &Slot::pid);
    if (found == slots.end()) continue;
    // SIGALRM is a missed deadline, SIGKILL our eviction or the guard's.
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (signal != 0 && signal != SIGALRM && signal != SIGKILL) crashed(*found, signal);
    if (WIFEXITED(status) && WEXITSTATUS(status) == kSealFailed) {
      broken_ = Error{Errc::unavailable, "a connection process could not be sealed"};
    }
    release(*found);
  }
}

void Listener::crashed(const Slot& slot, int signal) {
  log::error("a connection process died of a signal",
             {{"signal", signal}, {"connection", slot.connection}, {"remote", slot.remote.view()}});
  if (wiring_.audit) {
    ipc::AuditAppend record;
    record.event = ipc::Event::violation;
    record.phase = ipc::Phase::event;
    record.add(ipc::FieldKey::connection, std::to_string(slot.connection))
        .add(ipc::FieldKey::remote, slot.remote.view())
        .add(ipc::FieldKey::signal, std::to_string(signal))
        .add(ipc::FieldKey::reason, "a connection process died of a signal");
    if (!wiring_.audit.send(record)) log::error("a crash could not be recorded in the audit log");
  }
  if (++crashes_ >= kMaxCrashes) {
    broken_ = Error{Errc::limit, "too many connection processes crashed: starting afresh"};
  }
}

void Listener::expire() {
  const std::uint64_t now = sys::monotonic_ms();
  for (Slot& slot : tables_.slots.items()) {
    if (slot.state == Slot::State::waiting && slot.deadline_ms <= now) drop(slot);
  }
}

}  // namespace oqto::relay
