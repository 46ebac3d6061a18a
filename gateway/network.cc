#include "gateway/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>

namespace oqto::gateway {
namespace {

constexpr auto kGuardPatience = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::milliseconds(2);
constexpr std::size_t kMaxAsked = 16;  // listeners at a time: more would fill the guard's channel
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

// Of all sessions; this process has one thread.
std::size_t asked_now = 0;

class AuditRecords final : public egress::Records {
 public:
  AuditRecords(AuditLink& audit, const Uuid& session, std::uint32_t account)
      : audit_(audit), session_(session.text()), account_(std::to_string(account)) {}
  asio::awaitable<Result<std::uint64_t>> intent(ipc::AuditAppend record) override {
    sign(record);
    co_return co_await audit_.intent(std::move(record));
  }
  void note(ipc::AuditAppend record) override {
    sign(record);
    audit_.outcome(std::move(record));
  }

 private:
  void sign(ipc::AuditAppend& record) const {
    record.add(ipc::FieldKey::session, session_).add(ipc::FieldKey::account, account_);
  }
  AuditLink& audit_;
  const std::string session_, account_;
};

// What the guard sent is what was asked for.
Status check_listener(const Fd& socket, std::uint32_t address, std::uint16_t port) {
  int listens = 0;
  socklen_t size = sizeof listens;
  sockaddr_in at{};
  socklen_t at_size = sizeof at;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &at_size) != 0) {
    return fail_errno("the guard's listener");
  }
  if (listens == 0 || at.sin_family != AF_INET || ntohl(at.sin_addr.s_addr) != address ||
      ntohs(at.sin_port) != port) {
    return fail(Errc::denied, "the guard's listener is not the one that was asked for");
  }
  return {};
}

}  // namespace

// --- GuardListeners ---

asio::awaitable<Result<Fd>> GuardListeners::listen(std::uint32_t address, std::uint16_t port) {
  const auto deadline = egress::Clock::now() + kGuardPatience;
  asio::steady_timer timer(io_);
  const ipc::GateListen request{session_, address, port};
  for (;;) {
    Status sent = fail(Errc::limit, "too many listeners are being made");
    if (asked_now < kMaxAsked) sent = send_(request);
    if (sent) break;
    if (sent.error().code != Errc::limit || egress::Clock::now() > deadline) {
      co_return std::unexpected(sent.error());
    }
    timer.expires_after(kRetry);
    co_await timer.async_wait(kToken);
  }
  const auto wanted = std::make_shared<Wanted>(io_);
  wanted_[{address, port}] = wanted;
  ++asked_now;
  co_await wanted->answered.wait_until(deadline);
  --asked_now;
  wanted_.erase({address, port});
  co_return std::move(wanted->socket);
}

void GuardListeners::arrived(std::uint32_t address, std::uint16_t port, Result<Fd> socket) {
  const auto found = wanted_.find({address, port});
  if (found == wanted_.end()) return;
  if (socket) {
    if (const Status good = check_listener(*socket, address, port); !good) {
      socket = std::unexpected(good.error());
    }
  }
  found->second->socket = std::move(socket);
  found->second->answered.notify();
}

// --- Network ---

void Network::make(const NetworkSetup& setup, const ipc::GateRules* rules, egress::Rules parsed) {
  listeners_ = std::make_shared<GuardListeners>(setup.shared.io, setup.number, setup.listen);
  egress::SessionSetup wanted;
  wanted.id = setup.number;
  wanted.owner = setup.account;
  wanted.rules = std::move(parsed);
  wanted.own_names.emplace(kModelName, kModelAddress);
  wanted.listeners = listeners_;
  wanted.records = std::make_shared<AuditRecords>(setup.audit, setup.session, setup.account);
  if (rules != nullptr) {
    wanted.ask_unknown = rules->ask_unknown != 0;
    wanted.ask_timeout_s = rules->ask_timeout_s;
    wanted.ask = setup.ask;
  }
  session_ = std::make_shared<egress::Session>(setup.shared, std::move(wanted));
  session_->start();
}

Status Network::allow(const NetworkSetup& setup, const ipc::GateRules& rules) {
  if (session_) return fail(Errc::denied, "rules for a session that has some, or has sockets");
  auto parsed = egress::Rules::parse(rules.domains.values);
  // Nothing but the model is reached then, which is what the sockets alone would mean.
  if (!parsed) return std::unexpected(parsed.error());
  make(setup, &rules, *std::move(parsed));
  return {};
}

Status Network::serve(const NetworkSetup& setup, ipc::GateSocketKind kind, Fd socket) {
  if (!session_) make(setup, nullptr, {});
  if (kind == ipc::GateSocketKind::dns) return session_->serve_udp(std::move(socket));
  return session_->serve_tcp(std::move(socket));
}

void Network::listener(std::uint32_t address, std::uint16_t port, Result<Fd> socket) {
  if (listeners_) listeners_->arrived(address, port, std::move(socket));
}

void Network::answered(const ipc::ApprovalAnswer& answer) {
  if (session_) session_->answered(answer);
}

void Network::close() {
  if (session_) session_->close();
}

}  // namespace oqto::gateway
