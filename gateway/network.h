// The network of one session beside its model calls: egress/, with the guard's listeners and
// auditd's log behind it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "egress/session.h"
#include "gateway/audit_link.h"
#include "ipc/messages.h"

namespace oqto::gateway {

constexpr std::string_view kModelName = "models.oqto";
constexpr std::uint32_t kModelAddress = 0xc6120002;  // 198.18.0.2, host byte order

// Asks the guard, which alone can make sockets in the session's network, for each listener.
class GuardListeners final : public egress::ListenerSource {
 public:
  using Send = std::function<Status(const ipc::GateListen&)>;
  GuardListeners(asio::io_context& io, const Uuid& session, Send send)
      : io_(io), session_(session), send_(std::move(send)) {}
  asio::awaitable<Result<Fd>> listen(std::uint32_t address, std::uint16_t port) override;
  // The guard's answer; one that nobody waits for is dropped.
  void arrived(std::uint32_t address, std::uint16_t port, Result<Fd> socket);

 private:
  struct Wanted {
    explicit Wanted(asio::io_context& io) : answered(io) {}
    egress::Signal answered;
    Result<Fd> socket = fail(Errc::unavailable, "the guard made no listener in time");
  };
  asio::io_context& io_;
  const Uuid session_;
  const Send send_;
  std::map<std::pair<std::uint32_t, std::uint16_t>, std::shared_ptr<Wanted>> wanted_;
};

struct NetworkSetup {
  egress::Shared& shared;
  AuditLink& audit;
  Uuid number;   // what we and the guard call it
  Uuid session;  // what records do
  std::uint32_t account = 0;
  GuardListeners::Send listen;
  std::function<Status(const ipc::ApprovalAsk&)> ask;
};

class Network {
 public:
  // Once, before the sockets. Without it, the model's name alone is answered.
  Status allow(const NetworkSetup& setup, const ipc::GateRules& rules);
  Status serve(const NetworkSetup& setup, ipc::GateSocketKind kind, Fd socket);
  void listener(std::uint32_t address, std::uint16_t port, Result<Fd> socket);
  void answered(const ipc::ApprovalAnswer& answer);
  void close();

 private:
  void make(const NetworkSetup& setup, const ipc::GateRules* rules, egress::Rules parsed);

  std::shared_ptr<GuardListeners> listeners_;
  std::shared_ptr<egress::Session> session_;
};

}  // namespace oqto::gateway
