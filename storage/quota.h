// Project quota: a tenant's directory has a project number, everything beneath inherits it, and the
// file system counts and limits what has it. The calls are the same for ext4 and XFS.
#pragma once
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::storage {

struct Limits {  // 0: none
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
  bool operator==(const Limits&) const = default;
};
struct Usage {
  Limits used;
  Limits limits;
};

// What is made beneath `dir` from now on is the project's; what is there already is not.
Status set_project(const Fd& dir, std::uint32_t project);
Result<std::uint32_t> project_of(const Fd& file);

// `on`: any file or directory of the file system. Errc::not_found: it keeps no project quota.
Status set_limits(const Fd& on, std::uint32_t project, const Limits& limits);
Result<Usage> usage_of(const Fd& on, std::uint32_t project);
// Where it only counts: has it enforce the limits too.
Status enforce(const Fd& on);

}  // namespace oqto::storage
