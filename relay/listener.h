// The listener: accepts, waits for a first byte, forks a sealed process per connection, and keeps
// count. It never reads what a client sends. While connections that have not been let through by
// the guard ("unproven") are at their limit, each newcomer displaces a random one of them: refusing
// the newcomer instead would let a flood of silent clients lock everyone out.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>

#include "ipc/audit.h"
#include "ipc/channel.h"
#include "ipc/loop.h"
#include "relay/address.h"
#include "relay/certificate.h"
#include "relay/connection.h"
#include "relay/jail.h"
#include "relay/unshared.h"

namespace oqto::relay {

struct Limits {
  std::uint32_t connections = 4096;
  std::uint32_t unproven = 512;
  std::uint32_t per_network = 256;  // see Network
  std::uint32_t unproven_per_network = 64;
  std::uint32_t rate_per_network = 50;  // new connections a second; four seconds' worth at once
};

class Listener;

class Slot final : public ipc::Watcher {  // one connection
 public:
  // waiting: accepted, and no byte has come. unproven, proven: has a process.
  enum class State : std::uint8_t { free, waiting, unproven, proven, evicted };
  void on_ready(std::uint32_t events) override;

  Listener* owner = nullptr;
  State state = State::free;
  Network network;
  ipc::Text<64> remote;
  std::uint64_t connection = 0;
  std::uint64_t deadline_ms = 0;  // waiting: for the first byte
  pid_t pid = 0;                  // unproven, proven, evicted
  Fd tcp;                         // waiting
  Fd progress;                    // unproven: reports the end of file when it is let through
};

class Listener {
 public:
  struct Wiring {
    ipc::Channel guard;
    ipc::Channel audit;
    ipc::Channel accounts;
    Fd socket;   // listening
    Fd signals;  // signalfd: SIGTERM, SIGINT, SIGCHLD
  };
  static Result<Listener*> create(Wiring wiring, const Service& service, CertificateInForce& certificate,
                                  const ConnectionJail& jail, const Limits& limits);
  // Until the guard's channel closes or a termination signal comes.
  Status run();

 private:
  friend class Slot;
  struct Part final : ipc::Watcher {
    Listener* owner = nullptr;
    void (Listener::*handler)() = nullptr;
    void on_ready(std::uint32_t) override { (owner->*handler)(); }
  };
  struct Tables {
    UnsharedArray<Slot> slots;
    UnsharedArray<Bucket> buckets;
  };
  Listener(Wiring wiring, const Service& service, CertificateInForce& certificate, const ConnectionJail& jail,
           const Limits& limits, ipc::Loop loop, Tables tables);

  Status watch_all();
  void on_accept();
  void on_guard();
  void on_audit();
  void on_accounts();
  void on_signal();

  void admit(Fd tcp, const sockaddr_storage& address);
  bool make_room(const Network& network);
  bool displace(std::uint32_t count, const Network* network);
  void first_byte(Slot& slot);
  void start(Slot& slot);
  Status announce(Slot& slot, Fd& control, Fd& accounts);
  [[noreturn]] void become_connection(int tcp, int control, int accounts, int progress);
  void evict(Slot& slot);
  void drop(Slot& slot);  // a waiting one
  void release(Slot& slot);
  void reap();
  void outlive_connections();
  void crashed(const Slot& slot, int signal);
  void expire();
  void rewire(ipc::WireRole role, Fd fd);
  void reload(const ipc::Reload& offered, Fd file);
  void answer_reloads();
  Status tell_certificate();

  Wiring wiring_;
  const Service& service_;
  CertificateInForce& certificate_;
  const ConnectionJail& jail_;
  Limits limits_;
  ipc::Loop loop_;
  Tables tables_;
  RateLimit rate_;
  Part accept_part_, guard_part_, audit_part_, accounts_part_, signal_part_;
  std::uint64_t next_connection_ = 1;
  std::uint32_t crashes_ = 0;
  std::uint32_t waiting_ = 0;
  bool stopping_ = false;
  bool asked_to_end_ = false;  // SIGTERM: an orderly stop of the host
  std::deque<ipc::Reloaded> answers_;  // that the guard has not been sent yet
  bool owes_facts_ = false;            // before them
  std::optional<Error> broken_;
};

}  // namespace oqto::relay
