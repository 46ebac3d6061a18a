#include "accounts/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/encoding.h"

namespace oqto::accounts {
namespace {

constexpr std::size_t kPrefixBytes = 8;   // /64
constexpr std::size_t kNetworkBytes = 6;  // /48
constexpr std::size_t kNetworkBytes4 = 3;  // /24

std::uint32_t whole_seconds(std::uint64_t ms) {
  return static_cast<std::uint32_t>(std::max<std::uint64_t>((ms + 999) / 1000, 1));
}

bool is_stranger(const Attempt& attempt) { return attempt.device == 0 && !attempt.trusted; }

// Whose failures count together. The first word keeps the kinds apart, whatever a typed name contains.
std::string guess_source(const Attempt& attempt) {
  if (attempt.trusted) return "login " + *attempt.username;  // asked again
  if (attempt.device != 0) return "device " + std::to_string(attempt.device);
  return "network " + attempt.network + ' ' + *attempt.username;
}
std::string address_source(const Attempt& attempt) { return "address " + attempt.remote; }
std::string strangers_source(const Attempt& attempt) { return "account " + *attempt.username; }

std::string prefix(std::string_view remote, std::size_t bytes4, std::size_t bytes6) {
  std::string host(remote.substr(0, remote.rfind(':')));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  in6_addr v6{};
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) != 1) {
    if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return std::string(remote);
    if (!IN6_IS_ADDR_V4MAPPED(&v6)) {
      return to_hex({v6.s6_addr, bytes6}) + '/' + std::to_string(bytes6 * 8);
    }
    std::memcpy(&v4, &v6.s6_addr[12], sizeof v4);
  }
  auto* const bytes = reinterpret_cast<unsigned char*>(&v4);
  std::fill(bytes + bytes4, bytes + sizeof v4, 0);
  char text[INET_ADDRSTRLEN] = {};
  (void)::inet_ntop(AF_INET, &v4, text, sizeof text);
  return bytes4 == sizeof v4 ? text : std::string(text) + '/' + std::to_string(bytes4 * 8);
}

}  // namespace

std::string remote_prefix(std::string_view remote) {
  return prefix(remote, sizeof(in_addr), kPrefixBytes);
}
std::string remote_network(std::string_view remote) {
  return prefix(remote, kNetworkBytes4, kNetworkBytes);
}

std::uint64_t delay_after_s(std::uint64_t failures) {
  if (failures < kFreeFailures) return 0;
  const std::uint64_t exponent = failures - kFreeFailures + 1;
  return exponent >= 10 ? kMaxDelayS : std::min(std::uint64_t{1} << exponent, kMaxDelayS);
}

Result<Admission> Throttle::admit(const Attempt& attempt, std::uint64_t now) {
  auto transaction = TRY(Transaction::begin(db_));
  Admission admission;
  if (is_stranger(attempt)) admission = TRY(admit_rate(address_source(attempt), kAddressRate, now));
  if (admission.retry_after_s == 0 && attempt.username) {
    const std::string source = guess_source(attempt);
    admission = TRY(admit_guess(source, now));
    // Only what its own source lets through counts against all strangers together.
    if (admission.retry_after_s == 0 && is_stranger(attempt)) {
      admission = TRY(admit_rate(strangers_source(attempt), kStrangersRate, now));
    }
    if (admission.retry_after_s == 0) TRY(count_guess(source, now));
  }
  TRY(transaction.commit());
  return admission;
}

// The generic cell rate algorithm: `arrival` is when the next attempt would be due if they came at
// exactly the allowed rate; being a whole window ahead of it is too fast.
Result<Admission> Throttle::admit_rate(const std::string& source, const Rate& rate, std::uint64_t now) {
  const std::uint64_t window = rate.burst * rate.step_ms;
  std::uint64_t arrival = now;
  std::uint64_t noted_until = 0;
  {
    auto row = TRY(db_.query("SELECT arrival, noted_until FROM rate_throttle WHERE source = ?", source));
    if (TRY(row.next())) {
      // A clock that was set back must not lock anybody out.
      arrival = std::clamp(row.number(0), now, now + window);
      noted_until = row.number(1);
    }
  }
  const std::uint64_t next = arrival + rate.step_ms;
  if (next <= now + window) {
    TRY(db_.run("INSERT INTO rate_throttle (source, arrival) VALUES (?1, ?2) "
                "ON CONFLICT (source) DO UPDATE SET arrival = ?2", source, next));
    return Admission{};
  }
  Admission refused{.retry_after_s = whole_seconds(next - window - now), .note = noted_until <= now};
  if (refused.note) {
    TRY(db_.run("UPDATE rate_throttle SET noted_until = ? WHERE source = ?", now + window, source));
  }
  return refused;
}

Result<Admission> Throttle::admit_guess(const std::string& source, std::uint64_t now) {
  std::uint64_t blocked_until = 0;
  std::uint64_t noted_until = 0;
  {
    auto row = TRY(db_.query("SELECT blocked_until, noted_until FROM guess_throttle WHERE source = ?", source));
    if (TRY(row.next())) {
      blocked_until = std::min(row.number(0), now + kMaxDelayS * 1000);
      noted_until = row.number(1);
    }
  }
  if (blocked_until <= now) return Admission{};
  const Admission refused{.retry_after_s = whole_seconds(blocked_until - now),
                          .note = noted_until < blocked_until};
  if (refused.note) {
    TRY(db_.run("UPDATE guess_throttle SET noted_until = ? WHERE source = ?", blocked_until, source));
  }
  return refused;
}

Status Throttle::count_guess(const std::string& source, std::uint64_t now) {
  std::uint64_t failures = 1;
  {
    auto row = TRY(db_.query("SELECT failures FROM guess_throttle WHERE source = ?", source));
    if (TRY(row.next())) failures = row.number(0) + 1;
  }
  const std::uint64_t blocked = now + delay_after_s(failures) * 1000;
  // `known` is of an earlier version.
  TRY(db_.run("INSERT INTO guess_throttle (source, known, failures, blocked_until, updated_at) "
              "VALUES (?1, 0, ?2, ?3, ?4) ON CONFLICT (source) DO UPDATE SET failures = ?2, "
              "blocked_until = ?3, updated_at = ?4", source, failures, blocked, now));
  return {};
}

Status Throttle::failed(const Attempt& attempt, std::uint64_t now) {
  if (!attempt.username) return {};
  const std::string source = guess_source(attempt);
  std::uint64_t failures = 0;
  {
    auto row = TRY(db_.query("SELECT failures FROM guess_throttle WHERE source = ?", source));
    if (TRY(row.next())) failures = row.number(0);
  }
  TRY(db_.run("UPDATE guess_throttle SET blocked_until = ?, updated_at = ? WHERE source = ?",
              now + delay_after_s(failures) * 1000, now, source));
  return {};
}

Status Throttle::give_back_rates(const Attempt& attempt) {
  if (!is_stranger(attempt)) return {};
  const char* const sql = "UPDATE rate_throttle SET arrival = arrival - ? WHERE source = ?";
  TRY(db_.run(sql, kAddressRate.step_ms, address_source(attempt)));
  if (attempt.username) TRY(db_.run(sql, kStrangersRate.step_ms, strangers_source(attempt)));
  return {};
}

Status Throttle::succeeded(const Attempt& attempt) {
  if (attempt.username) TRY(db_.run("DELETE FROM guess_throttle WHERE source = ?", guess_source(attempt)));
  return give_back_rates(attempt);
}

Status Throttle::not_tried(const Attempt& attempt) {
  if (attempt.username) {
    TRY(db_.run("UPDATE guess_throttle SET failures = failures - 1, blocked_until = 0 "
                "WHERE source = ? AND failures > 0", guess_source(attempt)));
  }
  return give_back_rates(attempt);
}

Status Throttle::sweep(std::uint64_t now) {
  TRY(db_.run("DELETE FROM rate_throttle WHERE arrival < ?", now));
  TRY(db_.run("DELETE FROM guess_throttle WHERE updated_at < ?",
              now - std::min(now, kForgetFailuresMs)));
  TRY(db_.run("DELETE FROM guess_throttle WHERE source IN (SELECT source FROM "
              "guess_throttle ORDER BY blocked_until DESC, updated_at DESC LIMIT -1 OFFSET ?)", kMaxGuessSources));
  TRY(db_.run("DELETE FROM rate_throttle WHERE source IN (SELECT source FROM rate_throttle "
              "ORDER BY arrival DESC LIMIT -1 OFFSET ?)", kMaxRates));
  return {};
}

}  // namespace oqto::accounts
