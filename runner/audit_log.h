// Records of commands, without blocking: an act waits until its intent is durable. Without auditd,
// or without its answer in time, nothing is done.
#pragma once
#include <cstdint>
#include <functional>
#include <map>

#include "ipc/audit.h"
#include "ipc/kept_records.h"
#include "runner/peer.h"

namespace oqto::runner {

class AuditLog {
 public:
  explicit AuditLog(Reactor& reactor);
  void attach(ipc::Channel channel);

  // `done` is called once, later: with the record's index when it is durable.
  using Done = std::function<void(Result<std::uint64_t>)>;
  void append(ipc::AuditAppend record, Done done);

  // Stores what is too long for a record; `done` is called once, later: with the value that a record's
  // field `…_blob` then names it by.
  using Stored = std::function<void(Result<std::string>)>;
  void store(std::string_view content, Stored done);

  // Without waiting, for reads and outcomes. Fails when auditd is gone or does not keep up.
  Status post(ipc::AuditAppend record);
  // What has happened already: kept until it stands in the log, while auditd is away or refuses it too.
  void keep(ipc::AuditAppend record);
  void outcome(std::uint64_t intent, bool success, std::string_view reason);

  static constexpr std::uint64_t kTimeoutMs = 3000;
  static constexpr std::uint64_t kStoreTimeoutMs = 20'000;
  static constexpr std::size_t kMaxWaiting = 256;
  static constexpr std::size_t kMaxOwed = 1024;  // records kept until they stand in the log
  static constexpr std::uint64_t kUsedUpMs = 2000;  // after a refusal for the account's budget

 private:
  struct Waiting {
    Done done;
    Timer timeout;
    ipc::AuditAppend given_up_outcome;  // once nobody waits any more
    bool given_up = false;
  };
  struct Storing {
    Stored done;
    Timer timeout;
  };
  void on_message(ipc::Received& received);
  void settle(std::uint64_t request, Result<std::uint64_t> index);
  void end_store(std::uint64_t request, Result<std::string> name);
  void on_gone();
  void fail_all();
  void give_up(std::uint64_t request, ipc::AuditAppend outcome);
  void send_owed();

  Reactor& reactor_;
  Peer peer_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::map<std::uint64_t, Storing> storing_;
  std::uint64_t used_up_until_ = 0;  // monotonic
  std::uint64_t next_request_ = 1;
  ipc::KeptRecords owed_{next_request_, kMaxOwed};
  Timer retry_;
};

}  // namespace oqto::runner
