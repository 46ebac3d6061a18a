// An entry as a person reads it.
#pragma once
#include <string>
#include <string_view>

namespace oqto::audit {

// "2026-01-31 12:00:00.123Z  #12  ann(7) runner  command intent  command=prompt …", no newline. No
// byte of it is a control character, whatever the entry holds. `related`: what it belongs to, whose
// facts follow in brackets.
std::string entry_line(std::string_view entry, std::string_view related = {});
std::string entry_page(std::string_view entry);  // one `name  value` line per member

// The entry itself if it is what auditd writes, else {"malformed":…} with its bytes.
std::string entry_json(std::string_view entry);

}  // namespace oqto::audit
