#include "accounts/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/encoding.h"

namespace oqto::accounts {
namespace {

constexpr std::uint64_t kRemoteWindowMs = kRemoteBurst * kRemoteStepMs;
constexpr std::size_t kPrefixBytes = 8;  // /64

std::uint32_t whole_seconds(std::uint64_t ms) {
  return static_cast<std::uint32_t>(std::max<std::uint64_t>((ms + 999) / 1000, 1));
}

}  // namespace

std::string remote_prefix(std::string_view remote) {
  std::string host(remote.substr(0, remote.rfind(':')));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return host;
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return std::string(remote);
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    char text[INET_ADDRSTRLEN] = {};
    (void)::inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof text);
    return text;
  }
  return to_hex({v6.s6_addr, kPrefixBytes}) + "/64";
}

std::uint64_t delay_after_s(std::uint64_t failures) {
  if (failures < kFreeFailures) return 0;
  const std::uint64_t exponent = failures - kFreeFailures + 1;
  return exponent >= 10 ? kMaxDelayS : std::min(std::uint64_t{1} << exponent, kMaxDelayS);
}

Result<Admission> Throttle::admit(const Attempt& attempt, std::uint64_t now) {
  auto transaction = TRY(Transaction::begin(db_));
  auto admission = TRY(admit_remote(attempt.remote, now));
  if (admission.retry_after_s == 0 && attempt.username) {
    admission = TRY(admit_account(attempt, now));
  }
  TRY(transaction.commit());
  return admission;
}

// The generic cell rate algorithm: `arrival` is when the next attempt would be due if they came at
// exactly the allowed rate; being a whole window ahead of it is too fast.
Result<Admission> Throttle::admit_remote(const std::string& remote, std::uint64_t now) {
  std::uint64_t arrival = now;
  std::uint64_t noted_until = 0;
  {
    auto row = TRY(db_.query("SELECT arrival, noted_until FROM remote_throttle WHERE remote = ?",
                             remote));
    if (TRY(row.next())) {
      // A clock that was set back must not lock an address out.
      arrival = std::clamp(row.number(0), now, now + kRemoteWindowMs);
      noted_until = row.number(1);
    }
  }
  const std::uint64_t next = arrival + kRemoteStepMs;
  if (next <= now + kRemoteWindowMs) {
    TRY(db_.run("INSERT INTO remote_throttle (remote, arrival) VALUES (?1, ?2) "
                "ON CONFLICT (remote) DO UPDATE SET arrival = ?2", remote, next));
    return Admission{};
  }
  Admission refused{.retry_after_s = whole_seconds(next - kRemoteWindowMs - now),
                    .note = noted_until <= now};
  if (refused.note) {
    TRY(db_.run("UPDATE remote_throttle SET noted_until = ? WHERE remote = ?",
                now + kRemoteWindowMs, remote));
  }
  return refused;
}

Result<Admission> Throttle::admit_account(const Attempt& attempt, std::uint64_t now) {
  const std::string& username = *attempt.username;
  std::uint64_t failures = 0;
  std::uint64_t blocked_until = 0;
  std::uint64_t noted_until = 0;
  {
    auto row = TRY(db_.query("SELECT failures, blocked_until, noted_until FROM account_throttle "
                             "WHERE username = ?", username));
    if (TRY(row.next())) {
      failures = row.number(0);
      blocked_until = std::min(row.number(1), now + kMaxDelayS * 1000);
      noted_until = row.number(2);
    }
  }
  if (blocked_until > now) {
    const Admission refused{.retry_after_s = whole_seconds(blocked_until - now),
                            .note = noted_until < blocked_until};
    if (refused.note) {
      TRY(db_.run("UPDATE account_throttle SET noted_until = ? WHERE username = ?", blocked_until,
                  username));
    }
    return refused;
  }
  ++failures;
  const std::uint64_t blocked = now + delay_after_s(failures) * 1000;
  TRY(db_.run("INSERT INTO account_throttle (username, known, failures, blocked_until, updated_at) "
              "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (username) DO UPDATE SET known = ?2, "
              "failures = ?3, blocked_until = ?4, updated_at = ?5",
              username, attempt.known ? 1 : 0, failures, blocked, now));
  return Admission{};
}

Status Throttle::failed(const Attempt& attempt, std::uint64_t now) {
  if (!attempt.username) return {};
  std::uint64_t failures = 0;
  {
    auto row = TRY(db_.query("SELECT failures FROM account_throttle WHERE username = ?",
                             *attempt.username));
    if (TRY(row.next())) failures = row.number(0);
  }
  TRY(db_.run("UPDATE account_throttle SET blocked_until = ?, updated_at = ? WHERE username = ?",
              now + delay_after_s(failures) * 1000, now, *attempt.username));
  return {};
}

Status Throttle::succeeded(const Attempt& attempt) {
  if (attempt.username) {
    TRY(db_.run("DELETE FROM account_throttle WHERE username = ?", *attempt.username));
  }
  TRY(db_.run("UPDATE remote_throttle SET arrival = arrival - ? WHERE remote = ?", kRemoteStepMs,
              attempt.remote));
  return {};
}

Status Throttle::sweep(std::uint64_t now) {
  TRY(db_.run("DELETE FROM remote_throttle WHERE arrival < ?", now));
  TRY(db_.run("DELETE FROM account_throttle WHERE updated_at < ?",
              now - std::min(now, kForgetFailuresMs)));
  TRY(db_.run("DELETE FROM account_throttle WHERE username IN (SELECT username FROM "
              "account_throttle WHERE known = 0 ORDER BY updated_at DESC LIMIT -1 OFFSET ?)",
              kMaxUnknownNames));
  TRY(db_.run("DELETE FROM remote_throttle WHERE remote IN (SELECT remote FROM remote_throttle "
              "ORDER BY arrival DESC LIMIT -1 OFFSET ?)", kMaxRemotes));
  return {};
}

}  // namespace oqto::accounts
