// One browser connection: the mux. It decodes frames, hands commands to the tenant, and carries
// answers and events back through a bounded queue. A browser that does not read loses events, is told
// so, and costs nothing more.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ipc/messages.h"
#include "protocol/command.h"
#include "runner/session.h"
#include "runner/web_socket.h"

namespace oqto::runner {

class Connection;

struct ConnectionHost {
  virtual ~ConnectionHost() = default;
  virtual Reactor& reactor() = 0;
  virtual void on_command(Connection& connection, protocol::Command command, std::string frame) = 0;
  virtual std::string models_json() = 0;
  virtual std::string greeting() = 0;  // further members of `connected`
  virtual void on_connection_closed(Connection& connection) = 0;
};

class Connection final : public Subscriber, WebSocket::Owner,
                         public std::enable_shared_from_this<Connection> {
 public:
  // `refusal`: not empty: it is told so, and closed.
  Connection(ConnectionHost& host, const ipc::Connection& who, Fd stream, std::string refusal = {});

  [[nodiscard]] std::uint64_t number() const { return who_.connection; }
  [[nodiscard]] std::string username() const { return std::string(who_.username.view()); }
  // False: it follows too many already. One that is not live gives way, and is told of.
  bool subscribe(Session& session);
  void push(const std::string& frame) {  // after `connected`, which has all that is pushed before
    if (greeted_) send(frame);
  }
  void forget(Session& session);  // it is deleted
  void leave();                   // every session; the object may then outlive them
  void on_event(const Session& session, const EventText& event) override;
  // Replayed events, and the answer to one command.
  void send_event(const EventText& event);
  void answer(const protocol::CommandHead& head, const Answer& answer, std::string_view epoch, std::size_t frame_bytes);
  void close(mux::Closing why);
  void cut();  // its access has ended, or the host stops: it hears and is heard no more

  static constexpr std::size_t kMaxEventBytes = 4 * 1024 * 1024;   // queued; then events are dropped
  static constexpr std::size_t kMaxQueuedBytes = 16 * 1024 * 1024; // queued; then it is closed
  static constexpr std::size_t kMaxCommands = 64;                  // in work; then it is not read
  static constexpr std::size_t kMaxCommandBytes = 24 * 1024 * 1024;
  static constexpr std::uint64_t kPingMs = 10'000;

 private:
  void on_open() override;
  void on_text(std::string text) override;
  void on_binary() override;
  void on_written() override;
  void on_closed(const char* why) override;

  void send(std::string text);
  void ping();
  void pace();     // reads on, or waits
  void catch_up(); // tells those whose events were dropped

  ConnectionHost& host_;
  ipc::Connection who_;
  std::map<Session*, std::uint64_t> subscriptions_;  // -> events dropped
  std::size_t commands_ = 0;
  std::size_t command_bytes_ = 0;
  std::string refusal_;
  bool greeted_ = false;
  bool closed_ = false;
  Timer ping_;
  WebSocket socket_;
};

}  // namespace oqto::runner
