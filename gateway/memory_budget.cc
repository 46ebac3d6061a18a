#include "gateway/memory_budget.h"

#include <algorithm>

namespace oqto::gateway {

bool MemoryBudget::Hold::resize(std::size_t bytes) {
  if (!of_.change(account_, bytes_, bytes)) return false;
  bytes_ = bytes;
  return true;
}

// Whoever takes of the pool leaves as much of it free: it is never used up.
bool MemoryBudget::change(std::uint32_t account, std::size_t from, std::size_t to) {
  const std::scoped_lock lock(mutex_);
  const auto found = held_.find(account);
  const std::size_t before = found == held_.end() ? 0 : found->second;
  const std::size_t after = before - from + to;
  const std::size_t others = pool_ - beyond(before);
  const std::size_t most = std::min(sizes_.share, (sizes_.pool - others) / 2);
  if (to > from && beyond(after) > most) return false;
  pool_ = others + beyond(after);
  if (after == 0) {
    held_.erase(account);
  } else {
    held_[account] = after;
  }
  return true;
}

}  // namespace oqto::gateway
