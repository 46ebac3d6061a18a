// Slows down guessing, per account name and per network address, in a way that survives a restart
// and never locks anybody out for good. Unknown names are throttled like known ones, so that the
// throttle does not tell which exist.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "accounts/sqlite.h"
#include "base/result.h"

namespace oqto::accounts {

constexpr std::uint64_t kFreeFailures = 5;        // per account, then 2, 4, 8 … seconds
constexpr std::uint64_t kMaxDelayS = 15 * 60;
constexpr std::uint64_t kForgetFailuresMs = 24ULL * 3600 * 1000;
constexpr std::uint64_t kRemoteBurst = 20;        // attempts per address …
constexpr std::uint64_t kRemoteStepMs = 3000;     // … and one more every 3 s: 20 a minute
constexpr std::size_t kMaxUnknownNames = 20'000;  // rows kept for names that no account has
constexpr std::size_t kMaxRemotes = 20'000;

// The /32 or /64 of "address:port", as text. What is no address stands for itself.
std::string remote_prefix(std::string_view remote);

std::uint64_t delay_after_s(std::uint64_t failures);

struct Attempt {
  std::string remote;                   // from remote_prefix()
  std::optional<std::string> username;  // for logins only
  bool known = false;                   // there is such an account: its state is never dropped
};

struct Admission {
  std::uint32_t retry_after_s = 0;  // 0: admitted
  bool note = false;  // refused for the first time in this waiting period: worth a record
};

class Throttle {
 public:
  explicit Throttle(Database& db) : db_(db) {}

  // An admitted attempt counts as failed at once, so that guesses in parallel gain nothing.
  Result<Admission> admit(const Attempt& attempt, std::uint64_t now);
  Status failed(const Attempt& attempt, std::uint64_t now);  // the waiting time starts now
  Status succeeded(const Attempt& attempt);                  // takes the count back

  Status sweep(std::uint64_t now);

 private:
  Result<Admission> admit_remote(const std::string& remote, std::uint64_t now);
  Result<Admission> admit_account(const Attempt& attempt, std::uint64_t now);

  Database& db_;
};

}  // namespace oqto::accounts
