// Names of the OCSF 1.8 classes that entries use.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace oqto::audit {

std::string_view ocsf_class_name(std::uint64_t class_uid);  // "Unknown" if it is none of them
std::string_view ocsf_category_name(std::uint64_t category_uid);
std::string_view ocsf_activity_name(std::uint64_t class_uid, std::uint64_t activity_id);
std::string_view ocsf_severity_name(std::uint64_t severity_id);

// "3002", "Authentication" or "process_activity", whatever the case.
std::optional<std::uint64_t> find_ocsf_class(std::string_view name);

}  // namespace oqto::audit
