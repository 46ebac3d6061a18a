// What a process that mostly waits need not keep mapped.
#pragma once
#include <cstdint>

namespace oqto::sandbox {

// Unmaps the pages of this program's file (code and constants), which come back one by one when
// they are used. Cheap, but not free: for when there will be nothing to do for a while.
void release_program_pages();

constexpr std::uint16_t kSettleMs = 200;  // without an event: nothing to do for a while

}  // namespace oqto::sandbox
