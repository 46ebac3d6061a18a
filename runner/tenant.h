// Everything of one tenant: its workspaces, sessions and connections. Every command is recorded
// before it is done; the commands of one session are done in the order in which they came, and no
// session or connection waits for another.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "runner/audit_log.h"
#include "runner/connection.h"
#include "runner/guard_link.h"
#include "runner/history.h"
#include "runner/host_facts.h"
#include "runner/registry.h"
#include "runner/session.h"

namespace oqto::runner {

class Tenant final : public GuardEvents, public SessionHost, public ConnectionHost {
 public:
  Tenant(Reactor& reactor, Fd state_dir, Registry registry, std::uint32_t account, std::uint64_t sleep_after_ms);

  Status start(ipc::Channel guard, ipc::Channel audit, Fd history);
  // Stops the harnesses and stores what they still say, then stops the reactor. Bounded in time.
  void shut_down();

  static constexpr std::size_t kMaxConnections = 64;
  static constexpr std::size_t kMaxRefusing = 16;  // further ones, while they are told so
  static constexpr std::size_t kMaxLive = 16;  // as the guard allows (kMaxSessionsPerTenant)
  static constexpr std::size_t kMaxListed = 1000;
  static constexpr std::uint64_t kShutdownMs = 3'000;

 private:
  struct Job {
    std::weak_ptr<Connection> connection;
    std::uint64_t connection_number = 0;
    std::string username;
    protocol::Command command;
    std::string frame;
  };
  struct Lane {
    std::deque<Job> jobs;
    bool busy = false;
  };

  // --- GuardEvents ---
  void on_connection(ipc::Connection connection, Fd stream) override;
  void on_disconnect(std::uint64_t connection) override;
  void on_session_ended(const Uuid& session, std::string_view why) override;
  void on_session_usage(const ipc::SessionUsage& usage) override;
  void on_host_facts(const ipc::HostFacts& facts, Fd models) override;
  void on_approval_ask(const ipc::ApprovalAsk& ask) override;
  void on_wire(ipc::WireRole role, Fd fd) override;
  void on_guard_gone() override { shut_down(); }
  // --- SessionHost ---
  Reactor& reactor() override { return reactor_; }
  GuardLink& guard() override { return guard_; }
  History& history() override { return *history_; }
  const Fd& state_dir() override { return state_dir_; }
  Status save_registry() override { return registry_.save(state_dir_); }
  void make_room(const Session& for_whom, std::function<void(bool)> done) override;
  Status record(ipc::AuditAppend entry) override { return audit_.post(std::move(entry)); }
  void keep_record(ipc::AuditAppend entry) override { audit_.keep(std::move(entry)); }
  void record_with_args(ipc::AuditAppend entry, std::string args) override;
  void record_with_output(ipc::AuditAppend entry, const std::string& output, bool keep) override;
  void on_models(const std::vector<protocol::ModelInfo>& models) override;
  const std::vector<protocol::ModelInfo>& offered_models() override { return models_; }
  void on_changed(Session& session) override;
  std::uint64_t sleep_after_ms() override { return sleep_after_ms_; }
  // --- ConnectionHost ---
  void on_command(Connection& connection, protocol::Command command, std::string frame) override;
  std::string models_json() override { return protocol::encode_models(models_); }
  std::string greeting() override;
  void on_connection_closed(Connection& connection) override;

  void run_lane(const std::string& key);
  void begin(const std::string& key, Job job);
  void push(const std::string& frame);
  void push_changes();
  static pi::Delivery delivery_of(protocol::Cmd cmd);
  void record_and_do(const std::string& key, const std::shared_ptr<const Job>& shared,
                     std::string_view blob);
  void release(const std::string& key);
  void execute(const Job& job, Reply reply);
  void execute_in(Session& session, const Job& job, Reply reply);
  void finish(const Job& job, const Answer& answer);

  void create_workspace(const protocol::CreateWorkspace& wanted, Reply reply);
  void create_session(const Job& job, Reply reply);
  Answer add_session(const std::string& id, const protocol::CreateSession& wanted);
  void subscribe(Session& session, const Job& job, const Reply& reply);
  // A session like `like`, with a conversation of its own.
  std::expected<Session*, protocol::Failure> add_like(const Session& like);
  void new_session(const Session& like, const Job& job, Reply reply);
  void fork_session(Session& target, const Job& job, Reply reply);
  void delete_session(Session& session, Reply reply);
  void drop_session(const std::string& id);
  [[nodiscard]] std::string list_workspaces() const;
  [[nodiscard]] std::string list_sessions() const;
  [[nodiscard]] const Workspace* workspace_named(std::string_view id_or_name) const;
  Session* session(std::string_view id);
  void learn_counts();
  void wait_for_quiet(std::uint64_t deadline_ms);

  Reactor& reactor_;
  Fd state_dir_;
  Registry registry_;
  std::uint32_t account_;
  GuardLink guard_;
  AuditLog audit_;
  std::unique_ptr<History> history_;
  std::map<std::string, std::unique_ptr<Session>, std::less<>> sessions_;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::map<std::string, Lane, std::less<>> lanes_;
  std::vector<protocol::ModelInfo> models_;
  std::vector<protocol::ProfileFact> profiles_;
  Timer counts_retry_;
  bool counts_known_ = false;         // the history has told of its conversations
  std::vector<Task> for_counts_;      // what waits for that, or for its failure
  Timer quiet_poll_;
  std::set<std::string, std::less<>> changed_;  // sessions whose SESSION is to be pushed
  Timer push_;
  std::uint64_t sleep_after_ms_;
  bool shutting_down_ = false;
};

}  // namespace oqto::runner
