// The guard: asks it for workspaces and sandboxes, and hears of connections. Its answers come in any
// order and are matched by number.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "ipc/messages.h"
#include "runner/peer.h"

namespace oqto::runner {

struct GuardRefusal {
  ipc::Refusal refusal{};
  std::string why;
};

// What the guard tells unasked.
class GuardEvents {
 public:
  virtual ~GuardEvents() = default;
  virtual void on_connection(ipc::Connection connection, Fd stream) = 0;
  virtual void on_disconnect(std::uint64_t connection) = 0;
  virtual void on_session_ended(const Uuid& session, std::string_view why) = 0;
  virtual void on_session_usage(const ipc::SessionUsage& usage) = 0;
  virtual void on_host_facts(const ipc::HostFacts& facts, Fd models) = 0;
  virtual void on_approval_ask(const ipc::ApprovalAsk& ask) = 0;
  virtual void on_wire(ipc::WireRole role, Fd fd) = 0;
  virtual void on_guard_gone() = 0;
};

class GuardLink {
 public:
  GuardLink(Reactor& reactor, GuardEvents& events);
  void attach(ipc::Channel channel) { peer_.attach(std::move(channel)); }

  Status ready() { return peer_.send(ipc::Ready{}); }
  void create_workspace(const Uuid& id, std::function<void(std::expected<void, GuardRefusal>)> done);

  struct Started {
    ipc::SessionStarted answer;
    Fd init;  // Channel to the session's oqto-init
  };
  using OnStarted = std::function<void(std::expected<Started, GuardRefusal>)>;
  void start_session(const Uuid& session, const Uuid& workspace, ipc::Profile profile, OnStarted done);
  void stop_session(const Uuid& session, ipc::StopReason reason);
  void answer_approval(const ipc::ApprovalAsk& ask, ipc::ApprovalChoice choice);

  static constexpr std::uint64_t kTimeoutMs = 30'000;
  static constexpr std::size_t kMaxRequests = 128;

 private:
  struct Request {
    std::function<void(GuardRefusal)> refused;
    std::function<void()> workspace_created;
    std::function<void(Started)> session_started;
    Timer timeout;
  };
  Request* open_request(std::uint64_t number, std::function<void(GuardRefusal)> refused);
  void refuse(std::uint64_t number, GuardRefusal refusal);
  void on_message(ipc::Received& received);
  bool on_answer(ipc::Received& received);

  Reactor& reactor_;
  GuardEvents& events_;
  Peer peer_;
  std::map<std::uint64_t, Request> requests_;
  std::uint64_t next_request_ = 1;
};

}  // namespace oqto::runner
