// A list of arguments as one line that can be taken apart again: as a shell would need it.
#pragma once
#include <string>
#include <string_view>

namespace oqto::audit {

// `value`: how an entry spells the list. A line that is no list comes back as it is.
std::string command_line(std::string_view value);

}  // namespace oqto::audit
