// The process: connections that the guard hands over, and the record of everything that is read.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "auditor/answers.h"
#include "auditor/connection.h"
#include "ipc/audit.h"
#include "mux/peer.h"

namespace oqto::auditor {

class Server final : public ConnectionHost {
 public:
  struct Parts {
    mux::Reactor& reactor;
    ipc::Channel guard;
    ipc::Channel audit;
    LogView view;
    std::string log_dir;
    std::string state_dir;
  };
  explicit Server(Parts parts);

  Status start();  // tells the guard that it serves
  void shut_down();

  static constexpr std::size_t kMaxConnections = 64;
  static constexpr int kRecordMs = 3000;  // then nothing is read

 private:
  mux::Reactor& reactor() override { return reactor_; }
  std::string answer(const Connection& connection, const protocol::AuditCommand& command) override;
  void on_connection_closed(const Connection& connection) override;
  void on_guard(ipc::Received& received);
  void on_connection(const ipc::Connection& who, Fd stream);
  Result<std::uint64_t> record(const Connection& connection, const protocol::AuditCommand& command);
  void record_outcome(std::uint64_t intent, const Answers::Counted& counted);

  mux::Reactor& reactor_;
  ipc::AuditClient audit_;
  LogView view_;
  mux::Peer guard_;
  ipc::Channel first_channel_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  Follower follower_;
  Answers answers_;
};

}  // namespace oqto::auditor
