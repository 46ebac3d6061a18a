// An act that only takes away, and that took effect before it could be written.
#pragma once
#include <cstdint>
#include <string>

namespace oqto::accounts {

struct OwedAct {
  enum class Kind : std::uint8_t { disable, revoke, logout, kEnd };
  Kind kind{};
  std::uint32_t account = 0;
  std::uint64_t login = 0;  // logout: the one; revoke: the last that there was
  std::uint64_t at_ms = 0;  // wall clock
  bool is_stored = false;   // accounts.db has it: only the record is lacking
  std::uint32_t operator_uid = 0;
  std::string operator_name{}, remote{}, username{};
};

}  // namespace oqto::accounts
