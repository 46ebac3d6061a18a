// What every process says to auditd, and how it waits for the answer. A record names what happened;
// who says so (process, account, session, pid) is added by auditd from the descriptor it arrived on.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/channel.h"
#include "ipc/messages.h"

namespace oqto::ipc {

enum class Event : std::uint16_t {
  process_start,
  process_stop,
  login,
  logout,
  setup,            // the first administrator was made
  invite_create,
  invite_revoke,
  account_create,   // by invite
  account_change,
  connection,       // a browser's connection was handed to a runner
  command,          // one canonical command
  workspace_create,
  session_start,
  session_stop,
  exec,             // a program was executed in a sandbox
  model_call,
  violation,        // a peer broke the protocol and was killed
  admin,            // oqtoctl
  denial,           // something in a sandbox was refused
  approval,         // a question to a session's user, and what came of it
  network,          // a connection out of a sandbox: allowed or refused
  login_throttled,  // not even tried: too many failures before
  token_create,
  token_revoke,
  role_change,
  tool_call,        // as the agent reports it; what ran is in exec
  file_create,      // through the UI, as the next four
  file_read,
  file_update,
  file_delete,
  file_rename,
  terminal_open,
  terminal_close,
  recording_chunk,  // one piece of a terminal's recording
  ssh_open,
  ssh_close,
  ssh_sign,         // an agent was asked for a signature
  config_load,      // a configuration file was read: its hash
  policy_load,      // the host's policy, likewise
  clock_step,       // the wall clock went back, or leapt
  log_gap,          // records are missing here
  log_full,         // … because there was no room
  epoch_seal,       // the end of an epoch, signed with its key
  audit_read,       // somebody read the log
  key_erase,        // a day's key of a tenant was destroyed, its personal fields with it
  log_prune,        // entries before minimum_index may be gone
  host_start,
  host_stop,        // and who asked for it
  exec_exit,        // a program of a sandbox ended
  password_change,  // of an account: by its owner or, as a reset, by an administrator
  budget,           // records of a tenant are slowed or refused until the day is over
  adopt,            // the state directory was bound to this machine
  kEnd
};
std::string_view event_name(Event event);

enum class Phase : std::uint8_t {
  intent,   // is about to be done; the act waits until this is durable
  outcome,  // what came of the intent with that index
  event,    // has happened
  kEnd
};
enum class Outcome : std::uint8_t { unknown, success, failure, kEnd };

enum class FieldKey : std::uint8_t {
  account,        // decimal row number
  username,
  role,
  remote,         // network address
  connection,     // decimal
  session,        // uuid text
  workspace,      // uuid text
  profile,
  harness,
  command,        // canonical command's name
  args,           // JSON text, cut at kMaxFieldBytes
  args_bytes,     // decimal: full length when `args` was cut
  policy,         // canonical policy text: auditd records its SHA-256 beside it
  argv,           // one per argument
  argv_after,     // what the new image says, when it differs from argv
  cwd,
  exe,
  pid,
  exit_status,
  signal,
  reason,
  model,
  provider,
  tokens_in,
  tokens_out,
  http_status,
  duration_ms,
  process,
  uid,
  request_id,
  truncated,      // "true" when something was cut
  syscall,        // name
  path,           // inside the sandbox
  host,           // name that was looked up
  address,        // that it was connected to
  port,
  rule,           // what decided
  choice,         // "deny", "once", "session"
  count,          // decimal: how often, when alike records were joined
  bytes_in,
  bytes_out,
  args_blob,      // hex SHA-256 of a stored blob that this source made: auditd says the rest
  policy_blob,
  content_blob,
  recording_blob,
  tool,           // name
  call_id,        // of a tool call
  target,         // what a file was renamed to
  terminal,       // uuid text
  chunk,          // decimal: its place in the recording
  columns, rows,
  sha256,         // hex
  bytes,          // decimal
  fingerprint,    // of a key
  day,            // yyyy-mm-dd
  minimum_index,  // decimal
  epoch,          // decimal
  note,           // a signed note
  query,          // what somebody searched the log for
  entries,        // decimal: how many
  boot,           // the kernel's boot id
  boottime_ms,    // CLOCK_BOOTTIME beside the entry's wall clock time
  cost_nanos,     // decimal: of a model call, in 1e-9 of the currency of the prices
  estimated,      // "true": nobody has counted these tokens
  at,             // when it happened, RFC 3339 UTC, if that is not when it was written
  operator_name,  // login name of who asked (SO_PEERCRED, loginuid, sudo)
  operator_uid,
  invite,         // decimal: an invite's number
  ppid,
  argc,           // decimal: how many arguments there were
  argv_bytes,     // decimal: full length of all arguments, with a NUL behind each
  argv_sha256,    // hex: of all arguments, with a NUL behind each
  argv_blob,      // the same bytes
  environment,    // NAME for each variable, NAME=value where the value decides what is loaded
  environment_sha256,
  protocol,       // "tcp", "udp"
  request_sha256, // hex: of what was sent to a model
  response_sha256,
  output_sha256,  // hex: of what a tool put out
  request_blob,
  response_blob,
  output_blob,
  capability,     // what a request wanted of a provider
  member,         // where in the request that stands
  machine,        // hex: which machine, without telling its machine-id
  limit,          // decimal
  login,          // decimal: which sign-in of the account
  ended_logins,   // which of them this ended: decimals, with a blank between two
  kEnd
};
std::string_view field_name(FieldKey key);

struct AuditField {
  FieldKey key{};
  std::string value;  // any bytes; auditd escapes
  bool operator==(const AuditField&) const = default;
};

constexpr std::size_t kMaxFieldBytes = 16 * 1024;
constexpr std::size_t kMaxAuditFields = 300;
constexpr std::size_t kMaxAuditBytes = 48 * 1024;  // all values of one record together

constexpr std::uint64_t kNoIndex = ~std::uint64_t{0};

constexpr std::size_t kMaxBlobBytes = std::size_t{64} << 20;

struct AuditAppend {
  OQTO_MESSAGE(audit_append, false);
  std::uint64_t request = 0;
  Event event{};
  Phase phase{};
  Outcome outcome{};
  std::uint64_t intent = kNoIndex;  // Phase::outcome: index of the intent
  std::vector<AuditField> list;

  // Cuts over-long values and drops what exceeds the record's bounds, saying so in the record.
  AuditAppend& add(FieldKey key, std::string_view value);

  bool fields(auto& io) { return io(request, event, phase, outcome, intent) && list_fields(io); }

 private:
  bool list_fields(Writer& io) const;
  bool list_fields(Reader& io);
};

struct AuditAppended {  // durable, and in a signed checkpoint
  OQTO_MESSAGE(audit_appended, false);
  std::uint64_t request = 0;
  std::uint64_t index = 0;
  std::uint8_t before = 0;  // so many requests right before this one are at the indices before it
  bool fields(auto& io) { return io(request, index, before); }
  // Calls take(request, index) for each of them.
  void each(auto take) const {
    for (std::uint64_t back = before; back > 0; --back) take(request - back, index - back);
    take(request, index);
  }
};
enum class RefusedFor : std::uint8_t {
  log,     // it takes nobody's records now
  budget,  // this account has used up its share of the day (UTC)
  kEnd
};
struct AuditRefused {  // not recorded: what it was for must not be done
  OQTO_MESSAGE(audit_refused, false);
  std::uint64_t request = 0;
  Text<128> why;
  RefusedFor reason{};
  bool fields(auto& io) { return io(request, why, reason); }
};

// A payload that is too long for an entry: a memfd that is sealed against writing, shrinking and
// growing, of at most kMaxBlobBytes. Answered by AuditBlobStored once it is durable, or AuditRefused.
// The source's later records can name it in a field `…_blob`.
struct AuditBlob {
  OQTO_MESSAGE(audit_blob, true);
  std::uint64_t request = 0;
  std::uint32_t account = 0;  // whose it is; only from a source that is no tenant's
  bool fields(auto& io) { return io(request, account); }
};
struct AuditBlobStored {
  OQTO_MESSAGE(audit_blob_stored, false);
  std::uint64_t request = 0;
  std::array<std::uint8_t, 32> sha256{};  // of what is stored, which is encrypted
  std::uint64_t size = 0;                 // of what was sent
  bool fields(auto& io) { return io(request, sha256, size); }
};

// Could a record be written now? Answered as one would be, but nothing is: by AuditAppended with the index
// that a record would get now, or by AuditRefused.
struct AuditProbe {
  OQTO_MESSAGE(audit_probe, false);
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(request); }
};

// guard -> auditd, for an operator.
enum class AuditVerb : std::uint8_t {
  erase,  // destroys `account`'s key of `day`, which must be over
  prune,  // permits to remove what is before `index`, as far as whole segments reach
  kEnd
};
struct AuditManage {
  OQTO_MESSAGE(audit_manage, false);
  std::uint64_t request = 0;
  AuditVerb verb{};
  std::uint32_t account = 0;
  std::uint32_t day = 0;  // days since 1970-01-01, UTC
  std::uint64_t index = 0;
  std::uint32_t operator_uid = 0;  // as in CtlRequest
  Text<64> operator_name{};
  bool fields(auto& io) { return io(request, verb, account, day, index, operator_uid, operator_name); }
};
struct AuditManaged {
  OQTO_MESSAGE(audit_managed, false);
  std::uint64_t request = 0;
  std::uint8_t ok = 0;
  std::uint64_t index = 0;  // erase: of the record of it; prune: what is before it may be removed
  Text<128> why;
  bool fields(auto& io) { return io(request, ok, index, why); }
};

// guard -> auditd: a new source, with auditd's end of its channel.
struct AuditSource {
  OQTO_MESSAGE(audit_source, true);
  Process process{};
  std::uint32_t account = 0;  // 0: not a tenant's
  Text<64> username;
  Uuid session;               // all zero: not a session's
  std::uint32_t pid = 0;
  std::uint32_t uid = 0;
  bool fields(auto& io) { return io(process, account, username, session, pid, uid); }
};

// auditd -> signer: sign the tree of this size and root; `proof` is the RFC 6962 consistency proof
// from the size that the signer signed last (32 bytes per hash, concatenated).
struct SignRequest {
  OQTO_MESSAGE(sign_request, false);
  std::uint64_t epoch = 0;  // that the log is in: its last seal began it
  std::uint64_t old_size = 0;
  std::uint64_t size = 0;
  std::array<std::uint8_t, 32> root{};
  LongText<64 * 32> proof;
  std::uint64_t request = 0;  // repeated in the answer
  bool fields(auto& io) { return io(epoch, old_size, size, root, proof, request); }
};
struct SignedCheckpoint {
  OQTO_MESSAGE(signed_checkpoint, false);
  std::uint64_t size = 0;
  std::uint32_t epoch_ms_left = 0;  // 0: the epoch is over, auditd is to ask for its seal
  LongText<2048> note;              // C2SP signed note
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(size, epoch_ms_left, note, request); }
};
// Why a tree is not signed that would begin a new epoch without its seal: ask for that first.
constexpr std::string_view kEpochOver = "the epoch is over";
struct SignRefused {
  OQTO_MESSAGE(sign_refused, false);
  std::uint64_t size = 0;         // what the signer remembers
  std::array<std::uint8_t, 32> root{};
  Text<128> why;
  std::uint64_t request = 0;
  bool fields(auto& io) { return io(size, root, why, request); }
};

// auditd -> signer, answered by SignerStatus.
enum class SignerAsk : std::uint8_t {
  status,       // only where it stands
  settle,       // what was signed last is on the log's disk: that may be remembered durably
  seal_if_due,  // the same, and ends the epoch if its time is over
  seal_now,     // the same, and ends it if it holds anything
  adopted,      // the record of the adoption is on the log's disk: it need not be told again
  kEnd
};
struct SignerQuery {
  OQTO_MESSAGE(signer_query, false);
  SignerAsk what{};
  std::uint64_t request = 0;  // repeated in the answer
  bool fields(auto& io) { return io(what, request); }
};
// Whether what the signer remembers is what it signed last.
enum class Recall : std::uint8_t {
  exact,
  at_least,  // the machine was restarted: it may have signed a little more before
  kEnd
};
struct SignerStatus {
  OQTO_MESSAGE(signer_status, false);
  std::uint64_t size = 0;  // signed last
  std::array<std::uint8_t, 32> root{};
  Recall recall{};
  std::uint32_t epoch_ms_left = 0;
  LongText<4096> seal;     // the newest one; it belongs into the log as the entry of its size
  std::uint64_t request = 0;
  // The state directory was bound to this place by an operator, and the log does not say so yet.
  std::uint64_t adopted_at_ms = 0;  // wall clock; 0: nothing to say
  std::uint32_t operator_uid = 0;
  Text<64> operator_name{};
  Text<64> machine{};
  bool fields(auto& io) {
    return io(size, root, recall, epoch_ms_left, seal, request, adopted_at_ms, operator_uid, operator_name, machine);
  }
};

// The blocking client, for processes that do one thing at a time (accounts, launcher, oqtoctl).
class AuditClient {
 public:
  explicit AuditClient(Channel channel) : channel_(std::move(channel)) {}

  // Returns the index once the record is durable. Errc::unavailable: it is not recorded, and the
  // act must not happen.
  Result<std::uint64_t> append(AuditAppend record, int timeout_ms = 5000);

  // Sends without waiting, at most kMaxUnacknowledged ahead: then waits for auditd to catch up.
  // The answers are collected by later calls. Same error rule.
  Status post(AuditAppend record, int timeout_ms = 5000);

  // Stores a payload for later records to name: add(FieldKey::…_blob, value returned here).
  // Errc::limit: it is too long. Otherwise the same error rule.
  Result<std::string> store(std::string_view content, std::uint32_t account = 0,
                            int timeout_ms = 30'000);

  void replace(Channel channel) {
    channel_ = std::move(channel);
    unacknowledged_ = 0;
  }
  [[nodiscard]] const Channel& channel() const { return channel_; }

  static constexpr std::uint32_t kMaxUnacknowledged = 64;

 private:
  Status collect(int timeout_ms);  // one answer to a post()

  Channel channel_;
  std::uint64_t next_request_ = 1;
  void count_answer(const Received& received);

  std::uint32_t unacknowledged_ = 0;
};

}  // namespace oqto::ipc
