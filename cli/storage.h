// What `oqtoctl status` says of the disk.
#pragma once
#include <string>
#include <string_view>

#include "cli/host.h"

namespace oqto::cli {

std::string_view limits_name(ipc::DiskLimits limits);  // "none", "file_system", "image"
// Empty: the host says nothing of it.
std::string storage_text(const HostStatus& status);

}  // namespace oqto::cli
