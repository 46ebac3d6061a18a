// The guard: starts everything, hands every process its descriptors, owns the map from accounts to
// uids, and parses nothing but its own fixed messages. One thread, one loop; it never waits for a
// peer. What each peer may say, and when, is the table in guard.cc; anything else kills the peer.
#pragma once
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guard/config.h"
#include "guard/layout.h"
#include "guard/netns.h"
#include "guard/spawn.h"
#include "ipc/audit.h"
#include "ipc/channel.h"
#include "ipc/loop.h"
#include "sandbox/cgroup.h"
#include "sandbox/policy/policy.h"

namespace oqto::guard {

class Guard;
struct Session;

constexpr std::size_t kMaxConnections = 4096;
constexpr std::size_t kMaxTenants = 512;
constexpr std::size_t kMaxSessionsPerTenant = 16;
constexpr std::size_t kMaxWorkspacesPerTenant = 256;
constexpr std::size_t kMaxOperators = 8;
constexpr std::size_t kMaxAuditBacklog = 1024;
constexpr std::size_t kMaxPendingRecords = 2 * kMaxConnections;
constexpr std::uint64_t kRecordAgainMs = 500;  // after auditd has refused one
constexpr std::uint64_t kRecordTimeoutMs = 5000;
constexpr std::size_t kMaxGateListeners = 512;  // of one session

// Opened once, at the start: what is executed cannot be exchanged later.
struct Programs {
  Fd relay, accounts, auditd, signer, gateway, runner, hstry, launch, policy, auditor;
};

ipc::AuditAppend happened(ipc::Event event, ipc::Outcome outcome = ipc::Outcome::success);  // a record of it

// A process that we started.
struct Child final : ipc::Watcher {
  Child(Guard& owner, ipc::Process what, std::uint32_t of) : guard(owner), process(what), account(of) {}
  void on_ready(std::uint32_t events) override;

  struct ExitWatch final : ipc::Watcher {
    explicit ExitWatch(Child& owner) : child(owner) {}
    void on_ready(std::uint32_t events) override;
    Child& child;
  };

  Guard& guard;
  ipc::Process process;
  std::uint32_t account;       // 0: not a tenant's
  Uuid session;                // launcher and policy parser: whose
  Uuid number;                 // … as we call it
  pid_t pid = -1;
  uid_t uid = 0;
  Fd pidfd;
  ipc::Channel channel;
  Fd waiting_peer;             // our end of the peer channel, made while we were not running
  ExitWatch exit_watch{*this};
  ipc::Health health = ipc::Health::starting;
  std::uint32_t restarts = 0;
  std::uint32_t in_a_row = 0;        // of those: without a good run before
  bool has_served = false;           // was ready once
  std::uint64_t started_at_ms = 0;   // wall clock
  std::uint64_t started = 0;         // monotonic
  std::uint64_t restart_at = 0;      // monotonic; 0: not waiting for a restart
  std::string_view ended_by_us;      // why, when that is no failure
  std::uint64_t probe = 0;           // number of the one that it has not answered
  std::uint64_t probe_until = 0;     // monotonic
  std::string cannot_write;          // why, as of the last answer
};

// The control end of one sealed connection process of the relay.
struct Connection final : ipc::Watcher {
  Connection(Guard& owner, std::uint64_t number, ipc::Channel end, std::string_view from)
      : guard(owner), id(number), channel(std::move(end)), remote(from) {}
  void on_ready(std::uint32_t events) override;

  enum class State : std::uint8_t { idle, asking_health, looking_up, recording, open };
  Guard& guard;
  std::uint64_t id;
  ipc::Channel channel;
  std::string remote;
  State state = State::idle;
  std::uint64_t login = 0;
  std::uint32_t account = 0;
  std::string username;
  ipc::Role role{};
  std::uint64_t record = ipc::kNoIndex;
};

struct Tenant {
  std::uint32_t account = 0;
  std::string username;
  Fd dir;
  std::unique_ptr<Child> runner;
  std::unique_ptr<Child> hstry;
  bool disabled = false;  // no session begins
};

struct Session {
  enum class State : std::uint8_t { reading_policy, recording, opening_gate, launching, live };
  Uuid number;  // ours, and never another's: whoever has the account chooses the id, and others may choose the same
  Uuid id;
  Uuid workspace;
  std::uint32_t account = 0;
  std::uint64_t request = 0;  // the runner's, until it is answered
  bool answered = false;
  State state = State::reading_policy;
  ipc::Profile profile{};  // the wanted one, until the policy is known
  sandbox::Policy policy;  // the effective one
  std::uint64_t deadline = 0;  // monotonic: of the start, then of the session (wall clock limit)
  std::uint64_t record = ipc::kNoIndex;
  std::uint64_t started_at_ms = 0;
  Fd workspace_dir, home_dir;
  SessionNetwork network;
  std::set<GateAddress> listening;  // in its network, for names; the gateway has the sockets
  sandbox::Cgroup cgroup;
  std::array<Fd, 2> gate_files;
  Fd control;  // the runner's end of the channel to oqto-init, until it is handed over
  std::unique_ptr<Child> parser;
  std::unique_ptr<Child> launcher;
  ipc::GateUsage usage;
  std::string why_ended;
};

// oqtoctl, connected to the root-only socket.
struct Operator final : ipc::Watcher {
  Operator(Guard& owner, ipc::Channel end) : guard(owner), channel(std::move(end)) {}
  void on_ready(std::uint32_t events) override;
  Guard& guard;
  ipc::Channel channel;
  std::uint64_t awaits = 0;  // the AuditManage that was sent for it
  bool asks_status = false;
  uid_t uid = 0;             // as in CtlRequest
  bool closed = false;
};

// What a part was offered and has not answered yet.
struct Offered {
  std::uint64_t request;  // the reload's
  ipc::ReloadPart part;
  Fd* in_force;  // replaced when the part accepts it
  Fd copy;
};

// A reload under way: of each part we wait for one answer.
struct Reloading {
  std::uint64_t request = 0;  // what the operator awaits
  std::uint64_t deadline = 0;
  ipc::AuditAppend record;    // who asked; with what came of it at the end
  std::optional<ipc::AuditAppend> again;  // who asked meanwhile
  std::vector<ipc::Reloaded> answers;
  std::unique_ptr<Child> parser;  // of the host's policy
  std::vector<sandbox::Policy> policies;
};

class Guard {
 public:
  struct Resources {
    Config config;
    Uids uids;
    Programs programs{};
    Fd state{}, listener{}, tls_certificate{}, tls_key{}, assets{}, gateway_config{};
    Fd operator_socket{}, host_netns{}, own_netns{}, signals{};
    sandbox::HostPolicies host_policies{};
    storage::Tenants storage{};
    Result<sandbox::CgroupTree> cgroups = fail(Errc::not_found, "");
  };
  Guard(Resources resources, ipc::Loop loop);

  Status start();
  Status run();  // until SIGTERM or SIGINT, and everything has ended
  void remove_cgroup_tree();

 private:
  friend struct Child;
  friend struct Connection;
  friend struct Operator;

  // children.cc: starting, watching, restarting, wiring
  Status start_core();
  Status start_core_child(Child& child);
  Status start_tenant_child(Tenant& tenant, Child& child);
  // `wanted.fds` is what follows the channels to guard and auditd.
  Status start_child(Child& child, Spawn wanted);
  Result<Fd> peer_end(Child& child, Child& other, bool stream);
  void announce_audit_source(Child& child, Fd end);
  void rewire_audit();
  void child_message(Child& child);
  void child_exited(Child& child);
  void restart(Child& child);
  void kill_child(Child& child, std::string_view why);  // for breaking the protocol: recorded
  void bury(std::unique_ptr<Child> child);  // kills it if need be; freed once it is reaped
  void unwatch(Child& child);
  Child* core(ipc::Process process);
  std::vector<Child*> all_children();

  // guard.cc: the table, and what does not belong to one concept below
  Status dispatch(Child& child, ipc::Received& received);
  Status on_ready(Child& child, ipc::Received& received);
  void tick();
  void reap_orphans();
  int next_timeout() const;
  void on_signal();
  void shut_down();

  // connections.cc
  Status on_connection_opened(Child& child, ipc::Received& received);
  Status on_token_owner(Child& child, ipc::Received& received);
  Status on_token_unknown(Child& child, ipc::Received& received);
  Status on_login_revoked(Child& child, ipc::Received& received);
  Status on_account_ended(Child& child, ipc::Received& received);
  void check_logins(Child& accounts);
  void drop_if(const std::function<bool(const Connection&)>& ends);
  void connection_message(Connection& connection);
  void hand_over(Connection& connection);
  void refuse(Connection& connection, ipc::Refusal refusal);
  void record_end(ipc::Event event, std::uint64_t intent, std::uint64_t connection, ipc::Outcome outcome,
                  std::string_view reason);
  void drop(std::uint64_t connection);
  void say_good_bye();
  Result<Tenant*> tenant_of(const Connection& connection);
  Child* server_of(const Connection& connection);

  // sessions.cc, limits.cc
  Status on_create_workspace(Child& child, ipc::Received& received);
  Status on_start_session(Child& child, ipc::Received& received);
  Status on_stop_session(Child& child, ipc::Received& received);
  Status on_policy_parsed(Child& child, ipc::Received& received);
  Status on_launch_failed(Child& child, ipc::Received& received);
  Status on_gate_file(Child& child, ipc::Received& received);
  Status on_gate_usage(Child& child, ipc::Received& received);
  Status on_models_file(Child& child, ipc::Received& received);
  void send_host_facts(Child& runner);
  [[nodiscard]] std::string why_unenforceable(const sandbox::Policy& policy) const;
  [[nodiscard]] std::vector<std::string> unavailable_profiles() const;
  Status enter_cgroup(Session& session);
  void leave_cgroup(Session& session);
  void remove_cgroups();
  Result<Session*> prepare_session(Tenant& tenant, const ipc::StartSession& wanted);
  Status read_workspace_policy(Session& session);
  void record_session(Session& session);
  void open_gate(Session& session);
  Status launch(Session& session);
  void session_ready(Session& session);
  [[nodiscard]] ipc::SessionStarted started_answer(const Session& session) const;
  void fail_session(Session& session, ipc::Refusal refusal, std::string_view why);
  void end_session(const Uuid& number, std::string_view why);
  void end_late_sessions(std::uint64_t now);
  void kill_tenant_sessions(std::uint32_t account, std::string_view why);
  Session* find_session(const Uuid& number);
  Session* session_of(std::uint32_t account, const Uuid& id);  // another account's is as good as none
  void refuse_request(Child& runner, std::uint64_t request, ipc::Refusal refusal,
                      std::string_view why);

  // gates.cc: what the gateway does for a session, and the questions to its user
  Status send_gate(Session& session);
  Status on_gate_listen(Child& child, ipc::Received& received);
  Status on_approval_ask(Child& child, ipc::Received& received);
  Status on_approval_answer(Child& child, ipc::Received& received);
  void answer_approval(Session& session, ipc::ApprovalAnswer answer);

  // health.cc
  Status on_probed(Child& child, ipc::Received& received);
  Status on_certificate_facts(Child& child, ipc::Received& received);
  void probe(Child& child);
  void settle_probe(Child& child, std::uint64_t request, std::string_view cannot_write);
  void ask_health();
  void answer_health();
  [[nodiscard]] std::vector<ipc::CtlTrouble> judge() const;

  // control.cc
  void accept_operator();
  void operator_message(Operator& peer);
  void close_operator(Operator& peer);
  Status answer_operator(Operator& peer, const ipc::CtlRequest& request);
  Status send_status(Operator& peer);
  Status manage_audit(Operator& peer, const ipc::CtlRequest& request);
  Status on_audit_managed(Child& child, ipc::Received& received);

  // reload.cc: the operator's files, read again while we serve
  void begin_reload(ipc::AuditAppend asked, Operator* asker);
  bool offer(ipc::Process to, ipc::ReloadPart part, Fd& in_force, const std::string& path, Result<Fd> copy);
  void forget_offers(const Child& ended);
  void reload_policy();
  Status on_reloaded(Child& child, ipc::Received& received);
  bool on_host_policy(Child& parser, const sandbox::Policy& policy);
  bool on_host_policy_failed(Child& parser, std::string_view why);
  void take_host_policies(const sandbox::HostPolicies& policies, std::string_view what);
  void record_host_policies();
  void answer_reload(const ipc::Reloaded& answer);
  void refuse_reload(ipc::ReloadPart part, std::string_view why);
  void end_reload(std::string_view why);
  void finish_reload();

  // records.cc: the guard's own audit records
  using Continuation = void (Guard::*)(const Uuid& session, std::uint64_t connection, bool durable,
                                       std::uint64_t index);
  void record_then(ipc::AuditAppend record, const Uuid& session, std::uint64_t connection,
                   Continuation then);
  void record(ipc::AuditAppend record);  // an event or outcome; kept until it is durable
  void give_up_late_records(std::uint64_t now);
  void settle_record(std::uint64_t request, bool durable);
  void audit_message();
  void answer_record(std::uint64_t request, bool durable, std::uint64_t index);
  void flush_backlog();
  void policy_stored(const Uuid& session, std::uint64_t, bool durable, std::uint64_t);
  void session_recorded(const Uuid& session, std::uint64_t, bool durable, std::uint64_t index);
  void connection_recorded(const Uuid&, std::uint64_t connection, bool durable, std::uint64_t index);

  struct PendingRecord {
    std::uint64_t request;
    std::uint64_t deadline;
    Uuid session;
    std::uint64_t connection;
    Continuation then;
  };
  struct AuditWatch final : ipc::Watcher {
    explicit AuditWatch(Guard& owner) : guard(owner) {}
    void on_ready(std::uint32_t) override { guard.audit_message(); }
    Guard& guard;
  };
  struct SignalWatch final : ipc::Watcher {
    explicit SignalWatch(Guard& owner) : guard(owner) {}
    void on_ready(std::uint32_t) override { guard.on_signal(); }
    Guard& guard;
  };
  struct OperatorWatch final : ipc::Watcher {
    explicit OperatorWatch(Guard& owner) : guard(owner) {}
    void on_ready(std::uint32_t) override { guard.accept_operator(); }
    Guard& guard;
  };

  Resources own_;
  ipc::Loop loop_;
  std::vector<std::unique_ptr<Child>> core_;
  std::map<std::uint32_t, Tenant> tenants_;
  std::map<Uuid, std::unique_ptr<Session>> sessions_;  // by our number
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t next_connection_ = 1;
  Fd models_;  // the newest gateway's, for the runners
  std::vector<std::unique_ptr<Operator>> operators_;
  std::unique_ptr<Reloading> reload_;
  std::vector<Offered> offered_;       // also after the reload was given up
  ipc::CertificateFacts certificate_;
  std::vector<std::uint64_t> asking_;  // connections that want to know whether the host could serve
  std::vector<ipc::CtlTrouble> troubles_;
  bool is_judged_ = false;             // since the parts were asked
  std::uint64_t probed_at_ = 0;        // monotonic
  std::uint32_t probed_tenant_ = 0;    // account of the last one
  std::vector<std::unique_ptr<Child>> dying_;  // killed, not reaped yet
  struct Emptying {
    sandbox::Cgroup leaf;
    std::uint64_t kill_at;  // monotonic
  };
  std::vector<Emptying> emptying_;  // of sessions that have ended
  // What ended in this turn of the loop and may still be on the stack; freed at its end.
  std::vector<std::unique_ptr<Child>> graveyard_;
  std::vector<std::unique_ptr<Connection>> dropped_;

  ipc::Channel audit_;
  std::uint64_t next_record_ = 1;
  std::deque<PendingRecord> pending_;
  std::string stored_blob_;  // while the continuation of its AuditBlob runs
  struct Unsettled {
    ipc::AuditAppend record;
    std::uint64_t at_ms;  // wall clock
    bool is_sent = false;
  };
  std::deque<Unsettled> backlog_;
  std::uint64_t flush_at_ = 0;  // monotonic; not before it
  std::uint64_t lost_records_ = 0;

  AuditWatch audit_watch_{*this};
  SignalWatch signal_watch_{*this};
  OperatorWatch operator_watch_{*this};
  bool stopping_ = false;
  Status failure_;  // why it stopped by itself
  std::size_t stop_stage_ = 0;
  std::uint64_t stop_deadline_ = 0;
};

}  // namespace oqto::guard
