// Which system calls the programs of a session may make. Anything that is in neither list answers
// ENOSYS, as an older kernel would, so programs fall back; io_uring and clone3 are such. Rules
// about arguments: sandbox/filter_gen.cc.
#pragma once
#include <span>
#include <string_view>

namespace oqto::policies {

std::span<const std::string_view> session_allowed();
std::span<const std::string_view> session_refused();   // EPERM: known, and not for a session
std::span<const std::string_view> session_own_code();  // allowed only where own programs may run
std::span<const std::string_view> launcher_allowed();  // oqto-launch itself, once it monitors

}  // namespace oqto::policies
