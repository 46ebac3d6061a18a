// Files and directories of tenants, read with the tenant's rights: regular files only, bounded, no
// symbolic link followed.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace oqto::sandbox {

std::optional<std::string> read_small_file(const std::string& path, std::size_t max_bytes);

// At most `max` names, in no order; empty also if it cannot be read.
std::vector<std::string> list_directory(const std::string& path, std::size_t max);
std::vector<std::string> list_directory(Fd directory, std::size_t max);

}  // namespace oqto::sandbox
