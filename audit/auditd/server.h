// auditd's loop: records come in from every process, each over its own channel; once per turn what
// has come becomes one batch, and after it is durable each sender is told.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "audit/auditd/budget.h"
#include "audit/auditd/commit_thread.h"
#include "audit/auditd/entry.h"
#include "audit/auditd/log.h"
#include "audit/auditd/vault.h"
#include "ipc/loop.h"
#include "sandbox/seal.h"

namespace oqto::audit {

// Events that no source may report: what they say is auditd's own to know.
bool is_of_auditd(ipc::Event event);
// Whose budget a record is of; 0: nobody's.
std::uint32_t charged_account(const Actor& actor, const ipc::AuditAppend& record);

class Server {
 public:
  // Takes the guard's channel, the stop signal and a log. serve() returns when the guard is gone
  // or SIGTERM came, with everything received until then committed and published.
  Server(const sandbox::Sealed&, ipc::Loop loop, ipc::Channel guard, Fd signals, Log log,
         std::string boot_id, BlobStore::Options blobs = {}, Budget::Limits budget = {});
  ~Server();
  Status serve(ipc::Channel signer);

 private:
  // No source can fill a batch alone, and no tenant with many of them: each one that is ready gets
  // its share of every one, and what is beyond waits in the sender's socket.
  static constexpr std::uint32_t kRecordsPerBatch = 16;
  static constexpr std::size_t kBytesPerBatch = 64 * 1024;
  static constexpr std::uint32_t kTenantRecordsPerBatch = 64;
  static constexpr std::size_t kTenantBytesPerBatch = 96 * 1024;
  static constexpr std::size_t kMaxSources = 4096;
  static constexpr std::size_t kMaxOwn = 16 + 2 * kMaxSources;  // each of them may be cut off, with a gap
  static constexpr std::uint64_t kMaxUnread = 10'000;
  static constexpr std::size_t kMaxGaps = 64;  // sources that a gap names; the others are joined
  static constexpr std::uint64_t kMaxClockStepMs = 2000;
  static constexpr std::uint64_t kIdleMs = 200;  // then the derived files are brought up to date
  static constexpr std::uint64_t kPublishEveryMs =
      2000;  // … or after this time, if it never is idle
  static constexpr std::uint64_t kRetryMs = 500;
  // From so many records on a batch is written beside the loop; waking a thread would cost fewer more.
  static constexpr std::size_t kWorthAThread = 8;

  class GuardPort;
  class SignalPort;
  class CommitPort;
  class Source;
  // A record on its way into the log. Its index is known when it is written, not before.
  struct Pending {
    std::uint64_t source = 0;  // 0: auditd itself
    std::uint64_t request = 0;
    std::shared_ptr<const Actor> actor;
    std::uint64_t time_ms = 0;
    std::uint32_t charged = 0;  // whose budget it is of; 0: nobody's
    ipc::AuditAppend record;
    Private hidden;
  };
  struct Written {  // what became of some of the records of a commit
    std::size_t begin = 0;
    std::size_t end = 0;
    std::uint64_t first = 0;  // index
    std::vector<std::size_t> sizes;
    Status status;
  };
  struct Share {  // of a batch
    std::uint32_t records = 0;
    std::size_t bytes = 0;
  };
  struct Gap {  // records of one source that were refused since the log last took any
    Actor actor;
    std::set<std::uint64_t> requests;  // that it sends again has the same number: one record, not two
    std::uint64_t beyond = 0;          // kMaxDistinct of them
    [[nodiscard]] std::uint64_t count() const { return requests.size() + beyond; }
  };
  static constexpr std::size_t kMaxDistinct = 4096;  // of one source; further ones are counted each time

  Status start(ipc::Channel signer);
  Status turn();
  Status finish();
  Status connect_signer(ipc::Channel signer);
  void retry_signer();
  void on_guard();
  void on_guard_message(ipc::Received message);
  void add_source(const ipc::AuditSource& facts, Fd fd);
  void drain(Source& source);
  bool take_message(Source& source);  // false: there is none, or the source is dropped
  bool take_record(Source& source, const ipc::Received& message);
  bool take_probe(Source& source, const ipc::Received& message);
  Status answer_probe();
  static bool may_refuse(const Source& source, const ipc::AuditAppend& record);
  // server_budget.cc
  [[nodiscard]] bool is_paced(const Source& source) const;
  void pause(Source& source);
  void take_paused();
  void end_pacing();
  [[nodiscard]] int ms_to_paused() const;  // -1: nobody is
  bool refuse_over_budget(Source& source, const ipc::AuditAppend& record, std::uint32_t account);
  void charge(std::span<const Pending> records, std::span<const std::size_t> sizes);
  void note_stage(std::uint32_t account, Budget::Stage stage);
  // server_room.cc
  bool refuse_for_room(Source& source, const ipc::AuditAppend& record, std::uint32_t account, std::size_t bytes);
  void watch_room();
  void begin_day(std::uint64_t now_ms);
  void answer_blob(const BlobStore::Done& done);
  // server_manage.cc
  Status manage(const ipc::AuditManage& wanted);
  Result<std::uint64_t> commit_own(ipc::AuditAppend record);
  Result<std::uint64_t> erase_key(const ipc::AuditManage& wanted);
  Result<std::uint64_t> permit_prune(const ipc::AuditManage& wanted);
  void drop(Source& source, std::string_view why);
  std::uint64_t count_unread(Source& source);
  bool has_share(Source& source);
  // server_commit.cc
  void add_own(ipc::Event event, std::initializer_list<ipc::AuditField> fields);
  void add_own(ipc::AuditAppend record);
  [[nodiscard]] ipc::AuditAppend own_record(ipc::Event event) const;
  void greet();
  void watch_clock();
  Status request_seal(ipc::SignerAsk what);
  Status commit();  // begins to; nothing must be under way
  Status commit_now();
  std::vector<Written> write(std::span<const Pending> records);
  Status await_commit();
  Status conclude();
  void take_result(std::span<const Pending> records, const Status& status);
  void append_gaps(std::vector<Pending>& batch) const;
  void record_full(const Error& why);
  void note_refusal(std::span<const Pending> records);
  static std::size_t end_of_run(std::span<const Pending> records, std::size_t at);
  void answer(std::span<const Pending> records, std::uint64_t first, const Status& status);
  Status publish();
  [[nodiscard]] int timeout_ms() const;

  ipc::Loop loop_;
  ipc::Channel guard_;
  Fd signals_;
  Log log_;
  const BlobStore::Options blob_options_;
  std::unique_ptr<Vault> vault_;
  std::shared_ptr<const Actor> self_;
  std::unique_ptr<GuardPort> guard_port_;
  std::unique_ptr<SignalPort> signal_port_;
  std::unique_ptr<CommitPort> commit_port_;
  std::unique_ptr<CommitThread> committer_;
  // While a commit is under way, the log and these three are the thread's.
  bool is_committing_ = false;
  std::vector<Pending> under_way_;
  std::vector<Written> written_;
  std::size_t own_under_way_ = 0;
  std::uint64_t next_index_ = 0;  // of the log, when nothing was under way
  std::map<std::uint64_t, std::unique_ptr<Source>> sources_;
  std::vector<std::uint64_t> dropped_;
  struct Asked {
    std::uint64_t source = 0;  // 0: nobody
    std::uint64_t request = 0;
  };
  Asked asked_;  // the newest AuditProbe, until it is answered
  std::uint64_t next_source_ = 1;
  std::vector<Pending> batch_;
  std::map<std::uint32_t, Share> shares_;         // by account, in this batch
  std::map<std::uint64_t, Share> source_shares_;  // by source, likewise
  bool is_share_out_ = false;  // somebody has sent more than that
  Budget budget_;
  struct Tight {  // of one account, since the disk has been full
    std::uint64_t bytes = 0;
    std::uint64_t refused = 0;
  };
  Log::Space space_;
  std::uint64_t space_seen_ms_ = 0;
  std::uint64_t space_seen_at_ = ~std::uint64_t{0};  // index
  bool has_told_tight_ = false;  // in the log
  std::map<std::uint32_t, Tight> tight_;
  std::deque<std::uint64_t> paused_;  // sources that wait for their account's pace, in turn
  bool is_pacing_ = true;
  std::vector<Pending> own_;
  std::map<std::uint64_t, Gap> gaps_;  // by source; 0: all that are beyond kMaxGaps
  std::string gap_reason_;
  std::uint64_t gap_since_ms_ = 0;
  std::uint64_t gap_tried_ms_ = 0;
  const std::string boot_id_;
  std::int64_t clock_offset_ms_ = 0;  // of the wall clock against CLOCK_BOOTTIME
  bool has_clock_ = false;
  std::uint64_t committed_at_ms_ = 0;
  std::uint64_t published_at_ms_ = 0;
  std::uint64_t attached_at_ms_ = 0;
  bool was_attached_ = false;
  bool refusing_ = false;
  bool was_full_ = false;
  bool stopping_ = false;
  Status failure_;
};

class Server::Source : public ipc::Watcher {
 public:
  Source(Server& server, std::uint64_t number, Actor who, ipc::Channel from)
      : actor(std::make_shared<const Actor>(std::move(who))), channel(std::move(from)), id(number), server_(server) {}
  void on_ready(std::uint32_t /*events*/) override { server_.drain(*this); }

  const std::shared_ptr<const Actor> actor;
  ipc::Channel channel;
  const std::uint64_t id;
  bool is_dropped = false;
  bool is_paused = false;  // and not watched

 private:
  Server& server_;
};

}  // namespace oqto::audit
