// Entries in the spellings that other systems take.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace oqto::audit {

// One OCSF 1.8 event as one line of JSON. What OCSF has no place for is in `unmapped`; the entry
// itself is in `raw_data`.
struct OcsfSource {
  std::string log = {};  // the log's name, from its checkpoint; empty: not known
};
std::string to_ocsf(std::uint64_t index, std::string_view entry, const OcsfSource& from = {});

// One line of ArcSight's Common Event Format, version 0. The entry's fields are in cs3, as JSON.
std::string to_cef(std::uint64_t index, std::string_view entry);

}  // namespace oqto::audit
