// Every message between our processes, one screen per pair of peers. Tags are explicit and never
// reused. To add one: struct, tag, handler, golden bytes, fuzz seed (docs/architecture.md). All
// binaries come from one build: a peer of another version is refused, not adapted to.
#pragma once
#include <cstdint>

#include "ipc/wire.h"

namespace oqto::ipc {

constexpr std::uint32_t kProtocolVersion = 1;

// Descriptors that a process finds open when it starts. Slots that it does not use are /dev/null.
constexpr int kGuardFd = 3;  // Channel to the guard
constexpr int kAuditFd = 4;  // Channel to auditd (not in auditd and signer)
constexpr int kPeerFd = 5;   // relay<->accounts, auditd<->signer: Channel; runner<->hstry: stream
constexpr int kFirstExtraFd = 6;  // process-specific, named beside each process in guard/

enum class Tag : std::uint16_t {
  // any process -> guard
  ready = 1,
  launch_failed = 2,
  // guard -> any process
  wire = 10,
  // relay -> guard
  connection_opened = 20,
  open_channel = 21,
  // guard -> relay connection
  channel_opened = 22,
  channel_refused = 23,
  // relay -> accounts and back
  auth_peer = 30,
  auth_call = 31,
  auth_reply = 32,
  // guard <-> accounts
  lookup_token = 40,
  token_owner = 41,
  token_unknown = 42,
  login_revoked = 43,
  admin_call = 44,
  admin_reply = 45,
  // guard <-> runner
  connection = 50,
  disconnect = 51,
  create_workspace = 52,
  workspace_created = 53,
  start_session = 54,
  session_started = 55,
  stop_session = 56,
  session_ended = 57,
  refused = 58,
  session_usage = 59,
  // guard <-> gateway
  open_gate = 70,
  gate_socket = 71,
  gate_file = 72,
  close_gate = 73,
  gate_usage = 74,
  // guard -> session launcher
  launch_plan = 80,
  // policy parser -> guard
  policy_parsed = 83,
  // runner <-> oqto-init
  give_stdio = 90,
  start_program = 91,
  signal_program = 92,
  program_started = 93,
  program_failed = 94,
  program_exited = 95,
  // oqto-init -> launcher
  exec_listener = 96,
  init_ready = 97,
  init_failed = 98,
  // launcher -> oqto-init
  init_plan = 99,
  // any process <-> auditd
  audit_source = 110,  // guard -> auditd only
  audit_append = 111,
  audit_appended = 112,
  audit_refused = 113,
  // auditd <-> signer
  sign_request = 120,
  signed_checkpoint = 121,
  sign_refused = 122,
  // oqtoctl <-> guard
  ctl_request = 130,
  ctl_process = 131,
  ctl_tenant = 132,
  ctl_session = 133,
  ctl_end = 134,
  ctl_accounts = 135,
  kEnd = 160,
};

enum class Process : std::uint8_t {
  guard,
  relay,
  keyholder,
  accounts,
  auditd,
  audit_signer,
  gateway,
  ssh_proxy,
  runner,
  hstry,
  session,  // one session's launcher and exec monitor
  operator_tool,
  kEnd
};
std::string_view process_name(Process process);

// In declaration order for the JSON and CLI spellings too: "admin", "user", "auditor".
enum class Role : std::uint8_t { admin, user, auditor, kEnd };
enum class Profile : std::uint8_t { minimal, development, strict, kEnd };
enum class Harness : std::uint8_t { pi, kEnd };

enum class Refusal : std::uint8_t {
  unauthenticated,  // the token is unknown, revoked or expired
  forbidden,
  not_found,
  conflict,     // already there, already running
  limit,        // a bound was reached
  unavailable,  // a part is down; trying again may help
  invalid,
  kEnd
};
std::string_view refusal_name(Refusal refusal);

#define OQTO_MESSAGE(tag, with_fd)               \
  static constexpr Tag kTag = Tag::tag;          \
  static constexpr bool kWithFd = with_fd

// --- any process and the guard ---------------------------------------------------------------

struct Ready {  // the first message of every process: sealed, and serving
  OQTO_MESSAGE(ready, false);
  std::uint32_t version = kProtocolVersion;
  bool fields(auto& io) { return io(version); }
};

struct LaunchFailed {
  OQTO_MESSAGE(launch_failed, false);
  Text<512> why;
  bool fields(auto& io) { return io(why); }
};

// Replaces a channel whose other end died and was started again, or adds a peer.
enum class WireRole : std::uint8_t {
  audit,    // this process's channel to auditd
  peer,     // what kPeerFd was at start
  admin,    // accounts: a root operator's channel (AdminCall)
  kEnd
};
struct Wire {
  OQTO_MESSAGE(wire, true);
  WireRole role{};
  bool fields(auto& io) { return io(role); }
};

// --- relay -----------------------------------------------------------------------------------

struct ConnectionOpened {  // listener -> guard, with the guard's end of the connection's channel
  OQTO_MESSAGE(connection_opened, true);
  std::uint64_t connection = 0;
  Text<64> remote;  // address:port as the listener saw it
  bool fields(auto& io) { return io(connection, remote); }
};

enum class ChannelKind : std::uint8_t { mux, kEnd };
struct OpenChannel {  // one sealed connection process -> guard, on its own channel
  OQTO_MESSAGE(open_channel, false);
  Token token{};
  ChannelKind kind{};
  bool fields(auto& io) { return io(token, kind); }
};
struct ChannelOpened {  // with one end of a stream pair whose other end the tenant's runner holds
  OQTO_MESSAGE(channel_opened, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};
struct ChannelRefused {
  OQTO_MESSAGE(channel_refused, false);
  Refusal refusal{};
  bool fields(auto& io) { return io(refusal); }
};

struct AuthPeer {  // listener -> accounts, with accounts' end of that connection's auth channel
  OQTO_MESSAGE(auth_peer, true);
  std::uint64_t connection = 0;
  Text<64> remote;
  bool fields(auto& io) { return io(connection, remote); }
};

// The relay maps method and path to an endpoint and passes the body on unread.
enum class AuthEndpoint : std::uint8_t {
  state,          // GET  /api/auth/state
  setup,          // POST /api/auth/setup
  login,          // POST /api/auth/login
  register_user,  // POST /api/auth/register
  logout,         // POST /api/auth/logout
  me,             // GET  /api/me
  list_invites,   // GET  /api/auth/invites
  create_invite,  // POST /api/auth/invites
  revoke_invite,  // POST /api/auth/invites/revoke
  kEnd
};
struct AuthCall {  // connection process -> accounts; one at a time per connection
  OQTO_MESSAGE(auth_call, false);
  AuthEndpoint endpoint{};
  std::uint8_t has_token = 0;
  Token token{};
  LongText<16 * 1024> body;
  bool fields(auto& io) { return io(endpoint, has_token, token, body); }
};
enum class CookieAction : std::uint8_t { keep, set, clear, kEnd };
struct AuthReply {
  OQTO_MESSAGE(auth_reply, false);
  std::uint16_t status = 0;  // HTTP status
  CookieAction cookie{};
  Token token{};                   // meaningful for CookieAction::set
  std::uint32_t retry_after_s = 0;  // with 429: seconds until another try makes sense
  LongText<32 * 1024> body;        // JSON
  bool fields(auto& io) { return io(status, cookie, token, retry_after_s, body); }
};

// --- accounts --------------------------------------------------------------------------------

struct LookupToken {  // guard -> accounts
  OQTO_MESSAGE(lookup_token, false);
  std::uint64_t request = 0;
  Token token{};
  bool fields(auto& io) { return io(request, token); }
};
struct TokenOwner {
  OQTO_MESSAGE(token_owner, false);
  std::uint64_t request = 0;
  std::uint64_t login = 0;     // row of the login session: what LoginRevoked names later
  std::uint32_t account = 0;   // row of the account, never reused
  Role role{};
  Text<64> username;
  bool fields(auto& io) { return io(request, login, account, role, username); }
};
struct TokenUnknown {
  OQTO_MESSAGE(token_unknown, false);
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(request); }
};
struct LoginRevoked {  // logout, expiry, or an administrator: live connections of it end now
  OQTO_MESSAGE(login_revoked, false);
  std::uint64_t login = 0;
  bool fields(auto& io) { return io(login); }
};

enum class AdminVerb : std::uint8_t {
  setup_link,     // {} -> {"setup_required": bool, "token"?: text}
  // {"after"?: id} -> {"accounts": [{id, username, role, created_at, last_login_at?, disabled}],
  // "next_after"?: id of the last one, if there are more}
  list_accounts,
  create_invite,  // {"role"?, "expires_hours"?} -> {"id", "code", "role", "expires_at"}
  list_invites,   // {} -> {"invites": [...]}
  revoke_logins,  // {"username"} -> {"revoked": n}
  disable,        // {"username", "disabled": bool} -> {}
  kEnd
};
struct AdminCall {  // oqtoctl -> accounts, over a channel that the guard made for root
  OQTO_MESSAGE(admin_call, false);
  AdminVerb verb{};
  LongText<4096> body;  // JSON
  bool fields(auto& io) { return io(verb, body); }
};
struct AdminReply {
  OQTO_MESSAGE(admin_reply, false);
  std::uint8_t ok = 0;
  LongText<60 * 1024> body;  // JSON; {"error": text} when not ok
  bool fields(auto& io) { return io(ok, body); }
};

// --- runner ----------------------------------------------------------------------------------

struct Connection {  // guard -> runner, with the runner's end of the stream pair
  OQTO_MESSAGE(connection, true);
  std::uint64_t connection = 0;
  std::uint32_t account = 0;
  Role role{};
  Text<64> username;
  bool fields(auto& io) { return io(connection, account, role, username); }
};
struct Disconnect {
  OQTO_MESSAGE(disconnect, false);
  std::uint64_t connection = 0;
  bool fields(auto& io) { return io(connection); }
};
struct CreateWorkspace {  // runner -> guard; answered by WorkspaceCreated or Refused
  OQTO_MESSAGE(create_workspace, false);
  std::uint64_t request = 0;
  Uuid workspace;
  bool fields(auto& io) { return io(request, workspace); }
};
struct WorkspaceCreated {
  OQTO_MESSAGE(workspace_created, false);
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(request); }
};
struct StartSession {  // runner -> guard; answered by SessionStarted or Refused
  OQTO_MESSAGE(start_session, false);
  std::uint64_t request = 0;
  Uuid session;
  Uuid workspace;
  Profile profile{};
  Harness harness{};
  bool fields(auto& io) { return io(request, session, workspace, profile, harness); }
};
struct SessionStarted {  // with the Channel to the session's oqto-init
  OQTO_MESSAGE(session_started, true);
  std::uint64_t request = 0;
  Uuid session;
  Profile profile{};  // the effective one
  bool fields(auto& io) { return io(request, session, profile); }
};
struct StopSession {  // runner -> guard: kill it, descendants included
  OQTO_MESSAGE(stop_session, false);
  Uuid session;
  bool fields(auto& io) { return io(session); }
};
struct SessionEnded {  // guard -> runner: the whole sandbox is gone
  OQTO_MESSAGE(session_ended, false);
  Uuid session;
  Text<200> why;
  bool fields(auto& io) { return io(session, why); }
};
struct Refused {  // the answer "no" to a numbered request
  OQTO_MESSAGE(refused, false);
  std::uint64_t request = 0;
  Refusal refusal{};
  Text<512> why;  // what, where, what to do; may be shown to the user
  bool fields(auto& io) { return io(request, refusal, why); }
};
struct SessionUsage {  // guard -> runner, as the gateway counted it so far
  OQTO_MESSAGE(session_usage, false);
  Uuid session;
  std::uint64_t calls = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  bool fields(auto& io) { return io(session, calls, tokens_in, tokens_out); }
};

// --- gateway ---------------------------------------------------------------------------------

struct OpenGate {  // guard -> gateway: a session begins; its sockets and files follow
  OQTO_MESSAGE(open_gate, false);
  Uuid session;
  std::uint32_t account = 0;
  bool fields(auto& io) { return io(session, account); }
};
// Sockets that live in the session's network namespace.
enum class GateSocketKind : std::uint8_t {
  model,  // TCP listener on 198.18.0.2:80, the address of the name "models.oqto"
  dns,    // UDP on 198.18.0.1:53
  kEnd
};
struct GateSocket {
  OQTO_MESSAGE(gate_socket, true);
  Uuid session;
  GateSocketKind kind{};
  bool fields(auto& io) { return io(session, kind); }
};
// gateway -> guard: content for the harness, as sealed memory files. Both are sent, once, in
// answer to OpenGate.
enum class GateFileKind : std::uint8_t { models_json, settings_json, kEnd };
struct GateFile {
  OQTO_MESSAGE(gate_file, true);
  Uuid session;
  GateFileKind kind{};
  bool fields(auto& io) { return io(session, kind); }
};
struct CloseGate {
  OQTO_MESSAGE(close_gate, false);
  Uuid session;
  bool fields(auto& io) { return io(session); }
};
struct GateUsage {  // gateway -> guard, after each model call
  OQTO_MESSAGE(gate_usage, false);
  Uuid session;
  std::uint64_t calls = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  bool fields(auto& io) { return io(session, calls, tokens_in, tokens_out); }
};

// --- session: runner <-> oqto-init, oqto-init -> launcher --------------------------------------

enum class StdioKind : std::uint8_t {
  in_out,  // becomes descriptors 0 and 1 (and 2, unless `err` is given too)
  err,     // becomes descriptor 2
  kEnd
};
struct GiveStdio {  // before StartProgram of the same number
  OQTO_MESSAGE(give_stdio, true);
  std::uint32_t program = 0;  // chosen by the runner, unique while it runs
  StdioKind kind{};
  bool fields(auto& io) { return io(program, kind); }
};
struct StartProgram {
  OQTO_MESSAGE(start_program, false);
  std::uint32_t program = 0;
  TextList<256, 32 * 1024> argv;  // argv[0] is an absolute path inside the sandbox
  TextList<64, 4096> env;         // NAME=value, added to the session's environment
  Text<1024> cwd;                 // absolute path inside the sandbox
  bool fields(auto& io) { return io(program, argv, env, cwd); }
};
struct SignalProgram {
  OQTO_MESSAGE(signal_program, false);
  std::uint32_t program = 0;
  std::uint8_t signal = 0;
  bool fields(auto& io) { return io(program, signal); }
};
struct ProgramStarted {
  OQTO_MESSAGE(program_started, false);
  std::uint32_t program = 0;
  std::uint32_t pid = 0;  // inside the sandbox
  bool fields(auto& io) { return io(program, pid); }
};
struct ProgramFailed {
  OQTO_MESSAGE(program_failed, false);
  std::uint32_t program = 0;
  std::uint32_t error = 0;  // errno
  bool fields(auto& io) { return io(program, error); }
};
struct ProgramExited {
  OQTO_MESSAGE(program_exited, false);
  std::uint32_t program = 0;
  std::uint8_t exit_status = 0;
  std::uint8_t signal = 0;  // 0: it exited
  bool fields(auto& io) { return io(program, exit_status, signal); }
};

struct ExecListener {  // with the seccomp notification descriptor
  OQTO_MESSAGE(exec_listener, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};
struct InitReady {
  OQTO_MESSAGE(init_ready, false);
  std::uint32_t landlock_abi = 0;
  bool fields(auto& io) { return io(landlock_abi); }
};
struct InitFailed {
  OQTO_MESSAGE(init_failed, false);
  Text<256> why;
  bool fields(auto& io) { return io(why); }
};

// --- oqtoctl <-> guard -------------------------------------------------------------------------

enum class CtlVerb : std::uint8_t { status, accounts, kill_session, kill_tenant, kEnd };
struct CtlRequest {  // answered by rows and CtlEnd, or by CtlAccounts
  OQTO_MESSAGE(ctl_request, false);
  std::uint32_t version = kProtocolVersion;
  CtlVerb verb{};
  Uuid session;                // kill_session
  std::uint32_t account = 0;   // kill_tenant
  bool fields(auto& io) { return io(version, verb, session, account); }
};
enum class Health : std::uint8_t { starting, ready, restarting, stopped, kEnd };
struct CtlProcess {
  OQTO_MESSAGE(ctl_process, false);
  Process process{};
  std::uint32_t account = 0;  // 0: not a tenant's
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;
  Health health{};
  std::uint32_t restarts = 0;
  std::uint64_t started_at_ms = 0;
  bool fields(auto& io) { return io(process, account, pid, uid, health, restarts, started_at_ms); }
};
struct CtlTenant {
  OQTO_MESSAGE(ctl_tenant, false);
  std::uint32_t account = 0;
  Text<64> username;
  std::uint32_t runner_uid = 0;
  std::uint32_t agent_uid = 0;
  std::uint32_t connections = 0;
  std::uint32_t sessions = 0;
  bool fields(auto& io) {
    return io(account, username, runner_uid, agent_uid, connections, sessions);
  }
};
struct CtlSession {
  OQTO_MESSAGE(ctl_session, false);
  Uuid session;
  std::uint32_t account = 0;
  Uuid workspace;
  Profile profile{};
  std::uint32_t pid = 0;
  Health health{};
  std::uint64_t started_at_ms = 0;
  std::uint64_t calls = 0;
  std::uint64_t tokens_in = 0;
  std::uint64_t tokens_out = 0;
  bool fields(auto& io) {
    return io(session, account, workspace, profile, pid, health, started_at_ms, calls, tokens_in,
              tokens_out);
  }
};
struct CtlEnd {
  OQTO_MESSAGE(ctl_end, false);
  std::uint8_t ok = 0;
  Text<256> why;
  bool fields(auto& io) { return io(ok, why); }
};
struct CtlAccounts {  // with a channel to accounts (AdminCall)
  OQTO_MESSAGE(ctl_accounts, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};

}  // namespace oqto::ipc
