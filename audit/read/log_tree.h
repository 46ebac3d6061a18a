// The whole tree of a log in memory, as the auditor rebuilds it: every hash that a tile holds, and
// the root as it grows. 32.13 bytes per entry.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "audit/format/hash.h"

namespace oqto::audit {

class LogTree {
 public:
  LogTree() : levels_(1) {}

  void append(const Hash& leaf);
  void truncate(std::uint64_t size);  // back to an earlier size
  [[nodiscard]] std::uint64_t size() const { return levels_.front().size(); }
  [[nodiscard]] Hash root() const;
  [[nodiscard]] Hash root_at(std::uint64_t size) const;  // size <= size()

  // The hashes of a tile level (C2SP tlog-tiles): each but level 0 is the root of a full tile below.
  [[nodiscard]] std::span<const Hash> level(std::size_t number) const;
  // The root over the leaves [index << height, (index + 1) << height), which must be there.
  [[nodiscard]] Hash node(unsigned height, std::uint64_t index) const;

 private:
  std::vector<std::vector<Hash>> levels_;
  std::vector<Hash> edge_;  // roots of the complete subtrees, largest first: one per bit of size()
};

}  // namespace oqto::audit
