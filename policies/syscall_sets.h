// Named sets of system calls, each with the reason it exists.
#pragma once
#include <span>
#include <string_view>

namespace oqto::policies {

// Empty if there is no set of that name.
std::span<const std::string_view> syscall_set(std::string_view name);

}  // namespace oqto::policies
