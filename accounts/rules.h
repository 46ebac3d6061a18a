// What a user name and a password may be. The texts are for people and end up in a 400.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace oqto::accounts {

constexpr std::size_t kMinUsername = 2;
constexpr std::size_t kMaxUsername = 32;
constexpr std::size_t kMinPasswordBytes = 12;
constexpr std::size_t kMaxPasswordBytes = 256;
constexpr std::size_t kMinDistinctBytes = 5;

// What is wrong with it; nothing if it is fine. For new accounts only: those that exist stay as they are.
std::optional<std::string> username_problem(std::string_view username);
// What two names that people take for each other have in common: without separators, 0 as o, 1 as l.
std::string skeleton_of(std::string_view username);
// Names that a reader of the log would take for the host's own, whatever their spelling. `admin` and
// `administrator` are for administrators.
bool is_reserved(std::string_view username, bool administrator);
std::optional<std::string> password_problem(std::string_view password, std::string_view username);

}  // namespace oqto::accounts
