#include "audit/read/ocsf.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

namespace oqto::audit {
namespace {

struct Name {
  std::uint64_t uid;
  std::string_view name;
};
struct ActivityName {
  std::uint64_t class_uid;
  std::uint64_t activity_id;
  std::string_view name;
};

constexpr auto kClasses = std::to_array<Name>({
    {1001, "File System Activity"},
    {1007, "Process Activity"},
    {2004, "Detection Finding"},
    {3001, "Account Change"},
    {3002, "Authentication"},
    {3003, "Authorize Session"},
    {3004, "Entity Management"},
    {3005, "User Access Management"},
    {4001, "Network Activity"},
    {4002, "HTTP Activity"},
    {4007, "SSH Activity"},
    {5001, "Device Inventory Info"},
    {5019, "Device Config State Change"},
    {6002, "Application Lifecycle"},
    {6003, "API Activity"},
});
constexpr auto kCategories = std::to_array<Name>({
    {1, "System Activity"},
    {2, "Findings"},
    {3, "Identity & Access Management"},
    {4, "Network Activity"},
    {5, "Discovery"},
    {6, "Application Activity"},
});
constexpr auto kSeverities = std::to_array<Name>({{1, "Informational"},
                                                  {2, "Low"},
                                                  {3, "Medium"},
                                                  {4, "High"},
                                                  {5, "Critical"},
                                                  {6, "Fatal"}});
constexpr auto kActivities = std::to_array<ActivityName>({
    {1001, 1, "Create"}, {1001, 2, "Read"},       {1001, 3, "Update"},  {1001, 4, "Delete"},
    {1001, 5, "Rename"}, {1001, 14, "Open"},      {1007, 1, "Launch"},  {1007, 2, "Terminate"},
    {2004, 1, "Create"}, {2004, 2, "Update"},     {2004, 3, "Close"},   {3001, 1, "Create"},
    {3002, 1, "Logon"},  {3002, 2, "Logoff"},     {3002, 3, "Authentication Ticket"},
    {3002, 6, "Preauth"}, {5019, 1, "Log"}, {3003, 1, "Assign Privileges"},
    {3004, 1, "Create"}, {3004, 2, "Read"},       {3004, 3, "Update"},  {3004, 4, "Delete"},
    {3005, 1, "Assign Privileges"},               {3005, 2, "Revoke Privileges"},
    {4001, 1, "Open"},   {4001, 2, "Close"},      {4001, 5, "Refuse"},  {4007, 1, "Open"},
    {4007, 2, "Close"},  {4007, 4, "Fail"},       {4007, 5, "Refuse"},  {6003, 1, "Create"},
    {6003, 2, "Read"},   {6003, 3, "Update"},     {6003, 4, "Delete"},
    {6002, 3, "Start"},  {6002, 4, "Stop"},       {3001, 3, "Password Change"},
});
constexpr std::uint64_t kOther = 99;

std::string_view name_in(std::span<const Name> names, std::uint64_t uid) {
  const auto found = std::ranges::find(names, uid, &Name::uid);
  return found == names.end() ? "Unknown" : found->name;
}

char folded(char c) {
  if (c == ' ' || c == '-') return '_';
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::string_view ocsf_class_name(std::uint64_t class_uid) {
  return name_in(kClasses, class_uid);
}

std::string_view ocsf_category_name(std::uint64_t category_uid) {
  return name_in(kCategories, category_uid);
}

std::string_view ocsf_severity_name(std::uint64_t severity_id) {
  return name_in(kSeverities, severity_id);
}

std::string_view ocsf_activity_name(std::uint64_t class_uid, std::uint64_t activity_id) {
  if (activity_id == kOther) return "Other";
  for (const ActivityName& activity : kActivities) {
    if (activity.class_uid == class_uid && activity.activity_id == activity_id) {
      return activity.name;
    }
  }
  return "Unknown";
}

std::optional<std::uint64_t> find_ocsf_class(std::string_view name) {
  std::uint64_t uid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), uid);
  if (error == std::errc{} && end == name.data() + name.size()) return uid;
  for (const Name& known : kClasses) {
    if (std::ranges::equal(known.name, name, {}, folded, folded)) return known.uid;
  }
  return std::nullopt;
}

}  // namespace oqto::audit
