// The channels of accounts: guard, relay, one per browser connection, operators. One bad message
// ends the channel it came on and nothing else.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "accounts/hasher.h"
#include "accounts/recorder.h"
#include "accounts/service.h"
#include "ipc/channel.h"
#include "ipc/loop.h"

namespace oqto::accounts {

constexpr std::size_t kMaxConnections = 4096;  // lower if the process may not open so many files
constexpr std::size_t kSpareDescriptors = 64;
constexpr std::size_t kMaxOperators = 8;
constexpr std::size_t kMaxQueuedToGuard = 8192;  // more than one CheckLogins can ask for
constexpr std::uint64_t kSweepEveryMs = 60 * 1000;
constexpr std::uint64_t kSettleEveryMs = 2000;

struct ServerParts {
  ipc::Loop& loop;
  Recorder& recorder;
  Hasher& hasher;
  ipc::Channel guard;
  ipc::Channel relay;
  Fd signals;
  std::size_t max_connections;
};

class Server {
 public:
  explicit Server(ServerParts parts);
  ~Server();

  // What the guard is told.
  void revoked(std::uint64_t login);
  void ended(std::uint32_t account, bool disabled);
  Status run(Service& service);       // until the guard goes away or a signal says stop

 private:
  using ToGuard = std::variant<ipc::Ready, ipc::TokenOwner, ipc::TokenUnknown, ipc::LoginRevoked, ipc::AccountEnded,
                               ipc::Probed>;

  class OnReady final : public ipc::Watcher {
   public:
    explicit OnReady(std::function<void()> handler) : handler_(std::move(handler)) {}
    void on_ready(std::uint32_t) override { handler_(); }

   private:
    std::function<void()> handler_;
  };

  struct Peer {  // a browser's connection or an operator
    ipc::Channel channel;
    std::string remote;
    std::optional<Operator> operated_by;
    bool busy = false;  // an answer is being worked out
    std::unique_ptr<OnReady> watcher;
  };

  Status watch_all();
  void on_guard();
  Status from_guard(ipc::Received& message);
  Status wire(ipc::Received& message);
  Status add_operator(ipc::Received& message);
  Status lookup(const ipc::LookupToken& ask);
  Status check_logins(const ipc::CheckLogins& ask);
  Status probe(const ipc::Probe& ask);
  void to_guard(ToGuard message);
  void flush_to_guard();
  void on_relay();
  void lose_relay();
  void add_peer(Fd fd, std::string remote, std::optional<Operator> who);  // a browser's: nobody
  void on_peer(std::uint64_t number);
  Status from_peer(std::uint64_t number, Peer& peer, ipc::Received& message);
  void answer(std::uint64_t number, const ipc::AuthReply& reply);
  void end_peer(std::uint64_t number);
  void violation(std::string_view who, std::string_view remote);
  void fail_with(Error error);

  ServerParts parts_;
  Service* service_ = nullptr;
  OnReady guard_watcher_{[this] { on_guard(); }};
  OnReady relay_watcher_{[this] { on_relay(); }};
  OnReady hasher_watcher_{[this] { parts_.hasher.deliver(); }};
  OnReady signal_watcher_{[this] { stopping_ = true; }};
  std::deque<ToGuard> guard_queue_;
  std::map<std::uint64_t, Peer> peers_;
  std::vector<std::uint64_t> ended_;  // removed after the turn: their handlers may be running
  std::uint64_t next_peer_ = 1;
  std::size_t operators_ = 0;
  bool stopping_ = false;
  Status result_;
};

}  // namespace oqto::accounts
