// One agent session as the gateway knows it. The sockets that came for it are its identity: what
// arrives on them is this session's, whatever it says.
#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/encoding.h"
#include "egress/session.h"
#include "gateway/audit_link.h"
#include "gateway/backend.h"
#include "gateway/memory_budget.h"
#include "gateway/config.h"
#include "gateway/network.h"
#include "gateway/usage.h"
#include "gateway/workers.h"

namespace oqto::gateway {

constexpr std::size_t kMaxConnections = 32;  // of one session
constexpr int kMaxCalls = 8;                 // of one session at a time
constexpr std::size_t kMaxBodyBytes = 32 * 1024 * 1024;
constexpr std::size_t kMaxDemoBytes = 8 * 1024 * 1024;

// What all sessions share. Outlives them.
struct Shared {
  std::shared_ptr<const Config> config;  // replaced as a whole; a call keeps the one that it began with
  const std::string config_name;
  const bool has_authorities;  // whom to believe that a provider is who it is
  AuditLink& audit;
  Backend& upstream;
  Backend& demo;
  egress::Shared& egress;
  Workers& workers;
  MemoryBudget& bodies;
  MemoryBudget& contents;  // that wait to be stored in the log
};

struct Session {
  Session(asio::io_context& io, Shared& all, const ipc::OpenGate& gate)
      : shared(all), number(gate.session), id(gate.recorded_as), account(gate.account), model(io), total(gate) {}

  Shared& shared;
  const Uuid number;  // the guard's
  const Uuid id;      // what records call it: another account's may be the same
  const std::uint32_t account;
  asio::ip::tcp::acceptor model;
  Network network;
  std::set<asio::ip::tcp::socket*> connections;
  int calls_now = 0;
  ipc::OpenGate total;  // of all calls so far; those of a predecessor of this process included
  // Providers that asked this session to wait: with which status, and until when (monotonic ms).
  struct Hold {
    unsigned status = 0;
    std::uint64_t until = 0;
  };
  std::map<std::string, Hold, std::less<>> holds;  // by the provider's name
  std::function<void(const Session&)> report;

  // Ends everything at once; the coroutines notice and finish.
  void close() {
    boost::system::error_code ignored;
    model.close(ignored);
    network.close();
    for (asio::ip::tcp::socket* connection : connections) connection->close(ignored);
  }
};

// For a text of this session's that goes into the log; nothing where its policy does not want that.
inline std::unique_ptr<MemoryBudget::Hold> room_to_keep(const Session& session) {
  if (session.total.audit_contents == 0) return nullptr;
  return std::make_unique<MemoryBudget::Hold>(session.shared.contents, session.account);
}

// Runs until the session's socket is closed.
asio::awaitable<void> serve_models(std::shared_ptr<Session> session);

}  // namespace oqto::gateway
