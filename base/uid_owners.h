// Who on this machine may have a uid already, by what the machine itself says. Users that come from
// elsewhere (LDAP) are not looked for.
#pragma once
#include <cstdint>
#include <string>

namespace oqto {

// Who has a uid, gid, subordinate uid or subordinate gid of this range, as a sentence; empty:
// nobody. What cannot be read is a reason too. `etc` is where passwd, group, subuid and subgid are;
// those that are absent name nobody.
std::string owner_of_uids(const std::string& etc, std::uint64_t first, std::uint64_t count);

}  // namespace oqto
