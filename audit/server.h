// auditd's loop: records come in from every process, each over its own channel; once per turn what
// has come becomes one batch, and after it is durable each sender is told.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "audit/entry.h"
#include "audit/log.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::audit {

class Server {
 public:
  // Takes the guard's channel, the stop signal and a log. serve() returns when the guard is gone
  // or SIGTERM came, with everything received until then committed and published.
  Server(const sandbox::Sealed&, ipc::Loop loop, ipc::Channel guard, Fd signals, Log log);
  ~Server();
  Status serve(ipc::Channel signer);

 private:
  // Together they bound a batch far below kMaxBody, and no source can fill it alone: each one that
  // is ready gets its share of every turn.
  static constexpr int kRecordsPerTurn = 16;
  static constexpr std::size_t kBytesPerTurn = 128 * 1024;
  static constexpr std::size_t kMaxSources = 4096;
  static constexpr std::size_t kMaxOwn = 16;
  static constexpr std::uint64_t kIdleMs = 200;  // then the derived files are brought up to date
  static constexpr std::uint64_t kPublishEveryMs =
      2000;  // … or after this time, if it never is idle
  static constexpr std::uint64_t kRetryMs = 500;

  class GuardPort;
  class SignalPort;
  class Source;
  struct Waiting {
    std::uint64_t source = 0;
    std::uint64_t request = 0;
  };

  Status start(ipc::Channel signer);
  Status turn();
  Status finish();
  Status connect_signer(ipc::Channel signer);
  void retry_signer();
  void on_guard();
  void on_guard_message(ipc::Received message);
  void add_source(const ipc::AuditSource& facts, Fd fd);
  void drain(Source& source);
  bool take_record(Source& source, const ipc::Received& message);
  void drop(Source& source, std::string_view why);
  void add_own(ipc::Event event, std::initializer_list<ipc::AuditField> fields);
  Status commit();
  void answer(std::uint64_t first, const Status& status);
  void keep_derived();
  [[nodiscard]] int timeout_ms() const;

  ipc::Loop loop_;
  ipc::Channel guard_;
  Fd signals_;
  Log log_;
  Actor self_;
  std::unique_ptr<GuardPort> guard_port_;
  std::unique_ptr<SignalPort> signal_port_;
  std::map<std::uint64_t, std::unique_ptr<Source>> sources_;
  std::vector<std::uint64_t> dropped_;
  std::uint64_t next_source_ = 1;
  std::vector<std::string> batch_;
  std::vector<Waiting> waiting_;  // one per entry of batch_
  std::vector<ipc::AuditAppend> own_;
  std::uint64_t committed_at_ms_ = 0;
  std::uint64_t published_at_ms_ = 0;
  std::uint64_t attached_at_ms_ = 0;
  bool was_attached_ = false;
  bool refusing_ = false;
  bool stopping_ = false;
  Status failure_;
};

}  // namespace oqto::audit
