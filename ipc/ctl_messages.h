// The operator: oqtoctl with the guard.
#pragma once
#include "ipc/tags.h"

namespace oqto::ipc {

// --- oqtoctl <-> guard -------------------------------------------------------------------------

enum class CtlVerb : std::uint8_t {
  status,
  accounts,
  kill_session,
  kill_tenant,
  audit_erase,  // see AuditVerb
  audit_prune,
  reload,  // answered by a Reloaded for each part, then CtlEnd
  kEnd
};
struct CtlRequest {  // answered by rows and CtlEnd, or by CtlAccounts
  OQTO_MESSAGE(ctl_request, false);
  std::uint32_t version = kProtocolVersion;
  CtlVerb verb{};
  Uuid session;                // kill_session
  std::uint32_t account = 0;   // kill_tenant, audit_erase
  std::uint32_t day = 0;       // audit_erase: days since 1970-01-01, UTC
  std::uint64_t index = 0;     // audit_prune
  // Who asks, as oqtoctl says. The uid that is recorded beside it is the kernel's word: that of the login
  // (/proc/PID/loginuid), which neither su nor sudo changes, or where there is none that of the peer.
  Text<64> operator_name{};
  bool fields(auto& io) { return io(version, verb, session, account, day, index, operator_name); }
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
  // Of the disk; a limit of 0: this host has none.
  std::uint64_t disk_bytes = 0, disk_limit = 0, disk_files = 0, disk_files_limit = 0;
  bool fields(auto& io) {
    return io(account, username, runner_uid, agent_uid, connections, sessions, disk_bytes, disk_limit,
              disk_files, disk_files_limit);
  }
};
// What holds a tenant to its share of the disk (docs/operating.md, Disk).
enum class DiskLimits : std::uint8_t {
  none,
  file_system,  // project quota of the file system that the state directory is on
  image,        // the same in tenants.img, whose room nobody else can take
  kEnd
};
struct CtlStorage {
  OQTO_MESSAGE(ctl_storage, false);
  DiskLimits limits{};
  std::uint64_t tenant_bytes = 0, tenant_files = 0;  // what each tenant may have
  std::uint64_t promised_bytes = 0;                  // to all tenants that there are
  std::uint64_t tenants_bytes = 0, tenants_free = 0;  // of the file system that the tenants are on
  std::uint64_t state_bytes = 0, state_free = 0;      // of the one with log and accounts
  bool fields(auto& io) {
    return io(limits, tenant_bytes, tenant_files, promised_bytes, tenants_bytes, tenants_free, state_bytes,
              state_free);
  }
};
struct CtlTrouble {  // something that keeps the host from being ready, or will
  OQTO_MESSAGE(ctl_trouble, false);
  std::uint8_t is_warning = 0;  // 1: it serves all the same
  Text<32> part;
  Text<512> why;  // and what to do
  bool fields(auto& io) { return io(is_warning, part, why); }
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
  // Of its cgroup; all 0 where the host has none. Pressure: PSI `some avg10`, in 1/100 percent.
  std::uint64_t memory_bytes = 0, memory_limit = 0, swap_bytes = 0;
  std::uint64_t processes = 0, processes_limit = 0;
  std::uint64_t cpu_ms = 0;
  std::uint64_t io_read_bytes = 0, io_written_bytes = 0;
  std::uint32_t cpu_pressure = 0, memory_pressure = 0, io_pressure = 0;
  bool fields(auto& io) {
    return io(session, account, workspace, profile, pid, health, started_at_ms, calls, tokens_in,
              tokens_out, memory_bytes, memory_limit, swap_bytes, processes, processes_limit, cpu_ms,
              io_read_bytes, io_written_bytes, cpu_pressure, memory_pressure, io_pressure);
  }
};
// --- configuration that is read again while the host serves --------------------------------------

enum class ReloadPart : std::uint8_t {
  certificate,  // to the relay, followed by `key`; the two are answered together, as `certificate`
  key,
  gateway,  // gateway.toml
  policy,   // the host's policy: the guard's own
  kEnd
};
// guard -> relay, gateway: the content of the operator's file as it is now, a sealed memory file.
struct Reload {
  OQTO_MESSAGE(reload, true);
  ReloadPart part{};
  std::uint64_t request = 0;  // the answer's
  bool fields(auto& io) { return io(part, request); }
};
// The answer, which the guard passes on to oqtoctl.
struct Reloaded {
  OQTO_MESSAGE(reloaded, false);
  ReloadPart part{};
  std::uint8_t ok = 0;       // 0: refused, what was in force still is
  std::uint8_t changed = 0;
  Text<512> what;            // the certificate's subject, the providers' names; or why it was refused
  std::uint64_t expires_ms = 0;  // certificate
  std::uint64_t request = 0;     // as in Reload
  bool fields(auto& io) { return io(part, ok, changed, what, expires_ms, request); }
};

struct CtlEnd {
  OQTO_MESSAGE(ctl_end, false);
  std::uint8_t ok = 0;
  Text<256> why;
  std::uint64_t index = 0;  // audit_…: as in AuditManaged
  bool fields(auto& io) { return io(ok, why, index); }
};
struct CtlAccounts {  // with a channel to accounts (AdminCall)
  OQTO_MESSAGE(ctl_accounts, true);
  std::uint8_t reserved = 0;
  bool fields(auto& io) { return io(reserved); }
};

}  // namespace oqto::ipc
