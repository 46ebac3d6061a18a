// Slows down guessing, in a way that survives a restart and keeps nobody out for good. What slows down is
// one source for one account, never the account: a stranger's guesses cost its own network, and a browser
// that has signed in to the account before (a known device) has a count of its own that no stranger
// reaches. Unknown names are throttled like known ones, so that the throttle does not tell which exist.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "accounts/sqlite.h"
#include "base/result.h"

namespace oqto::accounts {

constexpr std::uint64_t kFreeFailures = 5;        // of one source, then 2, 4, 8 … seconds
constexpr std::uint64_t kMaxDelayS = 15 * 60;
constexpr std::uint64_t kForgetFailuresMs = 24ULL * 3600 * 1000;
// Rows that are kept. Which ones are dropped first does not depend on whether there is such an account: who floods the
// list with other names learns nothing, and those that have to wait longest stay.
constexpr std::size_t kMaxGuessSources = 40'000;
constexpr std::size_t kMaxRates = 20'000;

// So many attempts at once, and one more in each step.
struct Rate {
  std::uint64_t burst;
  std::uint64_t step_ms;
};
constexpr Rate kAddressRate{20, 3000};    // of one address, known devices excepted
constexpr Rate kStrangersRate{30, 60'000};  // at one account, all strangers together: 1,470 a day

// Of "address:port", as text: the /32 or /64, and the /24 or /48. What is no address stands for itself.
std::string remote_prefix(std::string_view remote);
std::string remote_network(std::string_view remote);

std::uint64_t delay_after_s(std::uint64_t failures);

struct Attempt {
  std::string remote;                   // from remote_prefix()
  std::string network;                  // from remote_network()
  std::optional<std::string> username;  // where a password is tried
  std::uint64_t device = 0;             // of this account; 0: a stranger
  bool trusted = false;                 // has shown what no stranger has: a login, or a link of this host's
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
  Status not_tried(const Attempt& attempt);                  // takes one back: it was never looked at

  Status sweep(std::uint64_t now);

 private:
  Result<Admission> admit_rate(const std::string& source, const Rate& rate, std::uint64_t now);
  Result<Admission> admit_guess(const std::string& source, std::uint64_t now);
  Status count_guess(const std::string& source, std::uint64_t now);
  Status give_back_rates(const Attempt& attempt);

  Database& db_;
};

}  // namespace oqto::accounts
