// The guard's side: sessions come and go, each with its sockets.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>

#include "egress/readable.h"
#include "gateway/session.h"
#include "sandbox/seal.h"

namespace oqto::gateway {

constexpr std::size_t kMaxSessions = 4096;

class Gateway {
 public:
  // Everything given here must outlive the gateway. Only a sealed process serves.
  Gateway(const sandbox::Sealed& sealed, asio::io_context& io, ipc::Channel guard, Shared& shared);
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Announces readiness and serves until the guard is gone or stop() is called.
  Status run();
  void stop(Status why = {});  // what run() returns

 private:
  asio::awaitable<void> listen();
  bool receive_all();
  Status handle(ipc::Received& received);
  Status open(const ipc::OpenGate& gate);
  Status allow(const ipc::GateRules& rules);
  Status add_socket(const ipc::GateSocket& gate, Fd socket);
  Status add_model(const std::shared_ptr<Session>& session, Fd socket);
  [[nodiscard]] NetworkSetup network_of(const Session& session);
  [[nodiscard]] Session* find(const Uuid& session);
  void close(const Uuid& session);
  Status reload(const ipc::Reload& asked, const Fd& file);
  Status answer(const ipc::Reloaded& reloaded);
  void send_answers();
  void take(Config config);
  Status send_models();
  void report(const Session& session);

  asio::io_context& io_;
  ipc::Channel guard_;
  Shared& shared_;
  egress::Readable readable_;
  std::string models_json_;
  std::string settings_json_;
  std::map<Uuid, std::shared_ptr<Session>> sessions_;
  std::deque<ipc::Reloaded> answers_;  // in their order, until the guard's channel has room
  asio::steady_timer answer_again_;
  Status ended_;
};

}  // namespace oqto::gateway
