// One auditor's browser. A command is recorded, answered, and its outcome recorded; one after the
// other, so that nobody can ask for more than one answer at a time.
#pragma once
#include <memory>
#include <string>

#include "ipc/messages.h"
#include "mux/reactor.h"
#include "mux/web_socket.h"
#include "protocol/audit_command.h"

namespace oqto::auditor {

class Connection;

struct ConnectionHost {
  virtual ~ConnectionHost() = default;
  virtual mux::Reactor& reactor() = 0;
  virtual std::string answer(const Connection& connection,
                             const protocol::AuditCommand& command) = 0;
  virtual void on_connection_closed(const Connection& connection) = 0;
};

class Connection final : mux::WebSocket::Owner {
 public:
  Connection(ConnectionHost& host, const ipc::Connection& who, Fd stream);

  [[nodiscard]] const ipc::Connection& who() const { return who_; }
  void tell_growth(std::uint64_t acts, std::uint64_t next);
  void close() { socket_.cut(mux::Closing::going_away); }

  static constexpr std::size_t kMaxFrame = 64 * 1024;
  static constexpr std::size_t kMaxQueued = 4 * 1024 * 1024;  // then no further command is read
  static constexpr std::uint64_t kPingMs = 10'000;
  static constexpr std::uint64_t kGrowthMs = 1000;  // between two words of new entries

 private:
  void on_open() override;
  void on_text(std::string text) override;
  void on_binary() override;
  void on_written() override;
  void on_closed(const char* why) override;
  void send(std::string text);
  void ping();
  void say_growth();

  ConnectionHost& host_;
  ipc::Connection who_;
  std::uint64_t acts_ = 0;  // not told yet
  std::uint64_t next_ = 0;
  mux::Timer ping_;
  mux::Timer growth_;
  bool open_ = false;
  mux::WebSocket socket_;
};

}  // namespace oqto::auditor
