// Tenants: the runner and the gateway, each with the guard.
#pragma once
#include "ipc/tags.h"

namespace oqto::ipc {

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
  // What its user may know of the effective policy (sandbox/policy/policy.h).
  Text<16> network;
  std::uint8_t asks_unknown_hosts = 0;
  TextList<256, 512> domains, allow_read, allow_write, ask;
  std::uint64_t memory_bytes = 0, cpu_percent = 0;  // 0: this host has no cgroup limits
  std::uint64_t max_processes = 0, tmp_bytes = 0, wall_clock_s = 0;
  std::uint32_t delegated_fetch = 0;  // policies::FetchSet
  std::uint8_t audit_contents = 0;
  bool fields(auto& io) {
    return io(request, session, profile, network, asks_unknown_hosts, domains, allow_read, allow_write, ask,
              memory_bytes, cpu_percent, max_processes, tmp_bytes, wall_clock_s, delegated_fetch, audit_contents);
  }
};
enum class StopReason : std::uint8_t {
  user,
  idle,       // asleep after a time without work
  room,       // asleep, because another one was wanted
  failed,     // its agent ended
  shut_down,  // the runner was told to stop
  given_up,   // it started after its start was given up
  kEnd
};
std::string_view stop_reason_text(StopReason reason);
struct StopSession {  // runner -> guard: kill it, descendants included
  OQTO_MESSAGE(stop_session, false);
  Uuid session;
  StopReason reason{};
  bool fields(auto& io) { return io(session, reason); }
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
  std::uint64_t cost_nanos = 0;       // 1e-9 of the currency that gateway.toml's prices are in
  std::uint64_t estimated_calls = 0;  // of `calls`: ended without a count of the provider's
  bool fields(auto& io) { return io(session, calls, tokens_in, tokens_out, cost_nanos, estimated_calls); }
};
// guard -> runner, when it starts and whenever the gateway has (re)started: what can be offered before
// any session has run. With a sealed memory file: the models.json that the harnesses get.
struct HostFacts {
  OQTO_MESSAGE(host_facts, true);
  static constexpr std::size_t kMaxReason = 1024;
  TextList<8, kMaxReason> unavailable;  // "PROFILE: why this host cannot enforce it"
  bool fields(auto& io) { return io(unavailable); }
};

// --- gateway ---------------------------------------------------------------------------------

struct OpenGate {  // guard -> gateway: a session begins; its sockets and files follow
  OQTO_MESSAGE(open_gate, false);
  Uuid session;  // the guard's own number, here and in all that follows between the two
  std::uint32_t account = 0;
  // Of GateUsage so far, when this gateway takes the session over from one that has ended.
  std::uint64_t calls = 0, tokens_in = 0, tokens_out = 0, cost_nanos = 0, estimated_calls = 0;
  Uuid recorded_as = {};  // the session's id: its account chose it, others' may be equal
  // Of the session's policy: policies::FetchSet, and whether the log keeps what is said.
  std::uint32_t delegated_fetch = 0;
  std::uint8_t audit_contents = 0;
  bool fields(auto& io) {
    return io(session, account, calls, tokens_in, tokens_out, cost_nanos, estimated_calls, recorded_as,
              delegated_fetch, audit_contents);
  }
};
// Sockets that live in the session's network namespace.
enum class GateSocketKind : std::uint8_t {
  model,    // TCP listener on 198.18.0.2:80, the address of the name "models.oqto"
  dns,      // UDP on 198.18.0.1:53
  dns_tcp,  // TCP listener on 198.18.0.1:53
  kEnd
};
struct GateSocket {
  OQTO_MESSAGE(gate_socket, true);
  Uuid session;
  GateSocketKind kind{};
  bool fields(auto& io) { return io(session, kind); }
};
// guard -> gateway, after OpenGate and only in mode `filtered`: names that may be reached, as in
// sandbox::Policy::domains.
struct GateRules {
  OQTO_MESSAGE(gate_rules, false);
  Uuid session;
  TextList<384, 512> domains;
  std::uint8_t ask_unknown = 0;  // 1: the user is asked about other names
  std::uint32_t ask_timeout_s = 0;
  bool fields(auto& io) { return io(session, domains, ask_unknown, ask_timeout_s); }
};
// gateway -> guard: a TCP listener in the session's network, on an address of the pool that no name
// had before. Answered by GateListener or GateListenFailed.
struct GateListen {
  OQTO_MESSAGE(gate_listen, false);
  Uuid session;
  std::uint32_t address = 0;  // host byte order, within 198.18.1.0 .. 198.19.255.254
  std::uint16_t port = 0;
  bool fields(auto& io) { return io(session, address, port); }
};
struct GateListener {
  OQTO_MESSAGE(gate_listener, true);
  Uuid session;
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  bool fields(auto& io) { return io(session, address, port); }
};
struct GateListenFailed {
  OQTO_MESSAGE(gate_listen_failed, false);
  Uuid session;
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  std::uint32_t error = 0;  // errno
  bool fields(auto& io) { return io(session, address, port, error); }
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
  std::uint64_t cost_nanos = 0;
  std::uint64_t estimated_calls = 0;
  bool fields(auto& io) { return io(session, calls, tokens_in, tokens_out, cost_nanos, estimated_calls); }
};
struct ModelsFile {  // gateway -> guard, after Ready and at another configuration: GateFile's models_json, for no session
  OQTO_MESSAGE(models_file, true);
  bool fields(auto& io) { return io(); }
};

}  // namespace oqto::ipc
