// What oqto-storage does before the host serves: it finds out what this machine can hold tenants to
// their share of the disk with, tries it, and puts it in place. It runs as root and once; no tenant
// has a process then.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipc/ctl_messages.h"

namespace oqto::storage {

struct Plan {
  std::string state;  // STATE
  std::uint32_t probe_uid =
      0;  // nobody's: what is tried is tried as this user, and under this number
  std::uint32_t first_uid =
      0;  // of account 0; the others' follow, two for each. Their projects' numbers too
  std::uint64_t image_bytes = 0;  // 0: no image
};

// probe.cc: whether a limit on the file system of `tenants` holds what an ordinary user writes. It
// is set, read back and overrun. Errc::not_found: there is none, and why.
Status try_limits(const std::string& tenants, std::uint32_t probe_uid);
// Directories of tenants from before there were limits: what lies in them is counted from now on.
Status adopt_tenants(const std::string& tenants, std::uint32_t first_uid);

// image.cc: STATE/tenants.img with all its blocks, an ext4 with project quota, over STATE/tenants
// in the mount namespace of whoever calls.
Status mount_image(const Plan& plan);

// run_tool.cc: the exit status of a program of the system, by its whole path.
Result<int> run_tool(const std::vector<std::string>& words);

Result<ipc::DiskLimits> prepare(const Plan& plan);

}  // namespace oqto::storage
