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

// What is wrong with it; nothing if it is fine.
std::optional<std::string> username_problem(std::string_view username);
std::optional<std::string> password_problem(std::string_view password, std::string_view username);

}  // namespace oqto::accounts
