#include "audit/auditd/budget.h"

#include <algorithm>

namespace oqto::audit {
namespace {

constexpr std::uint64_t kDayMs = 86'400'000;
constexpr std::uint64_t kSecondMs = 1000;
constexpr std::uint64_t kReservePart = 16;  // of the whole, for outcomes and for who commands
// What cannot be slowed (our own processes' records of a tenant) makes the tenant wait no longer than this.
constexpr std::uint64_t kMostDebtMs = 2 * kSecondMs;

}  // namespace

std::map<std::uint32_t, std::uint64_t> Budget::begin_day(std::uint64_t now_ms) {
  std::map<std::uint32_t, std::uint64_t> refused;
  if (now_ms / kDayMs == day_) return refused;
  day_ = now_ms / kDayMs;
  for (const auto& [account, its] : accounts_) {
    if (its.refused > 0) refused.emplace(account, its.refused);
  }
  accounts_.clear();
  return refused;
}

Budget::Stage Budget::stage_of(const Used& used) const {
  if (used.bytes >= limits_.bytes || used.records >= limits_.records) return Stage::used_up;
  const bool is_half = used.bytes >= limits_.bytes / 2 || used.records >= limits_.records / 2;
  return is_half ? Stage::slow : Stage::free;
}

Budget::Used Budget::used(std::uint32_t account) const {
  const auto found = accounts_.find(account);
  return found == accounts_.end() ? Used{} : found->second.used;
}

Budget::Stage Budget::stage(std::uint32_t account) const { return stage_of(used(account)); }

bool Budget::admits(std::uint32_t account, Reserve reserve) const {
  if (stage(account) != Stage::used_up) return true;
  const Used now = used(account);
  if (reserve == Reserve::none) return false;
  const std::uint64_t part = reserve == Reserve::half ? 2 * kReservePart : kReservePart;
  return now.bytes < limits_.bytes + limits_.bytes / part && now.records < limits_.records + limits_.records / part;
}

std::uint64_t Budget::wait_ms(std::uint32_t account, std::uint64_t now) const {
  const auto found = accounts_.find(account);
  if (found == accounts_.end() || stage_of(found->second.used) == Stage::free) return 0;
  return found->second.paid_at > now ? found->second.paid_at - now : 0;
}

// A second's worth may come at once.
void Budget::pay(Account& account, std::uint64_t bytes, std::uint64_t now) const {
  const std::uint64_t cost =
      std::max(kSecondMs / limits_.slow_records, bytes * kSecondMs / limits_.slow_bytes);
  account.paid_at = std::max(account.paid_at, now - std::min(now, kSecondMs)) + cost;
  account.paid_at = std::min(account.paid_at, now + kMostDebtMs);
}

std::optional<Budget::Stage> Budget::charge(std::uint32_t account, std::uint64_t bytes, std::uint64_t now) {
  Account& its = accounts_[account];
  const Stage before = stage_of(its.used);
  its.used.bytes += bytes;
  ++its.used.records;
  const Stage after = stage_of(its.used);
  if (before != Stage::free) pay(its, bytes, now);
  return after == before ? std::nullopt : std::optional(after);
}

void Budget::charge_refusal(std::uint32_t account, std::uint64_t now) {
  Account& its = accounts_[account];
  ++its.refused;
  pay(its, 0, now);
}

}  // namespace oqto::audit
