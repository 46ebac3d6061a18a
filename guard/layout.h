// The directories below STATE and the mounts of our private mount namespace.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "guard/config.h"
#include "storage/tenants.h"

namespace oqto::guard {

struct Uids {
  std::uint32_t base;
  [[nodiscard]] uid_t relay() const { return base + 1; }
  [[nodiscard]] uid_t accounts() const { return base + 2; }
  [[nodiscard]] uid_t auditd() const { return base + 3; }
  [[nodiscard]] uid_t signer() const { return base + 4; }
  [[nodiscard]] uid_t gateway() const { return base + 5; }
  [[nodiscard]] uid_t policy_parser() const { return base + 6; }
  [[nodiscard]] uid_t auditor() const { return base + 8; }  // 7 is ./run's, to prewarm Pi
  [[nodiscard]] uid_t disk_probe() const { return base + 9; }  // no process of ours
  [[nodiscard]] uid_t runner(std::uint32_t account) const {
    return base + kFirstTenantUid + 2 * account;
  }
  [[nodiscard]] uid_t agent(std::uint32_t account) const { return runner(account) + 1; }
};

// The directory `name` below `parent`, made with this mode and owner if it is absent. An existing
// one with another owner or mode is refused, never changed.
Result<Fd> ensure_dir(const Fd& parent, const char* name, mode_t mode, uid_t owner);

// STATE and its fixed directories; every ancestor of STATE must let other users through, since the
// tenants' processes resolve paths below it.
Result<Fd> ensure_state(const Config& config, const Uids& uids);

// What holds tenants to their share of the disk, as oqto-storage found it or made it. Before the seal, and
// in the mount namespace that we stay in.
Result<storage::Tenants> prepare_storage(const Config& config, const Uids& uids);

// The tenant's directories: TENANT/{state/{runner,hstry},home,workspaces}. Returns TENANT.
Result<Fd> ensure_tenant(const Fd& state, const Uids& uids, std::uint32_t account, storage::Tenants& storage);

// A mount namespace of our own, in which STATE/runtime/{pi,oqto-init} show the installed Pi and
// init read-only, wherever they really are.
Status enter_private_mounts(const Config& config);

}  // namespace oqto::guard
