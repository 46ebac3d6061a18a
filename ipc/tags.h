// What the messages between our processes have in common: tags, explicit and never reused, and the
// few enumerations that several of them carry.
// The messages themselves: ipc/messages.h.
#pragma once
#include <cstdint>

#include "ipc/wire.h"

namespace oqto::ipc {

constexpr std::uint32_t kProtocolVersion = 3;

// Descriptors that a process finds open when it starts. Slots that it does not use are /dev/null.
constexpr int kGuardFd = 3;  // Channel to the guard
constexpr int kAuditFd = 4;  // Channel to auditd (not in auditd and signer)
constexpr int kPeerFd = 5;   // relay<->accounts, auditd<->signer: Channel; runner<->hstry: stream
constexpr int kFirstExtraFd = 6;  // process-specific, named beside each process in guard/

enum class Tag : std::uint16_t {
  // any process -> guard
  ready = 1,
  launch_failed = 2,
  probed = 3,
  reloaded = 4,
  // guard -> any process
  wire = 10,
  probe = 11,
  reload = 12,
  // relay -> guard
  connection_opened = 20,
  open_channel = 21,
  certificate_facts = 24,
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
  admin_peer = 46,  // guard -> accounts only
  check_logins = 47,
  account_ended = 48,
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
  host_facts = 60,
  // guard <-> gateway
  open_gate = 70,
  gate_socket = 71,
  gate_file = 72,
  close_gate = 73,
  gate_usage = 74,
  gate_rules = 75,
  gate_listen = 76,
  gate_listener = 77,
  gate_listen_failed = 78,
  models_file = 79,
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
  program_terminal = 100,
  // oqto-init -> launcher
  exec_listener = 96,
  init_ready = 97,
  init_failed = 98,
  // launcher -> oqto-init
  init_plan = 99,
  // launcher or gateway -> guard -> runner, and back
  approval_ask = 104,
  approval_answer = 105,
  // any process <-> auditd
  audit_source = 110,  // guard -> auditd only
  audit_append = 111,
  audit_appended = 112,
  audit_refused = 113,
  audit_blob = 114,
  audit_blob_stored = 115,
  audit_manage = 116,   // guard <-> auditd only
  audit_managed = 117,
  audit_probe = 118,
  // auditd <-> signer
  sign_request = 120,
  signed_checkpoint = 121,
  sign_refused = 122,
  signer_query = 123,
  signer_status = 124,
  // oqtoctl <-> guard
  ctl_request = 130,
  ctl_process = 131,
  ctl_tenant = 132,
  ctl_session = 133,
  ctl_end = 134,
  ctl_accounts = 135,
  ctl_storage = 136,
  ctl_trouble = 137,
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
  auditor,  // serves people of that role
  policy_parser,
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

}  // namespace oqto::ipc
