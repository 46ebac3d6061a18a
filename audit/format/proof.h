// Proofs about a tree of RFC 6962 §2.1, made from the roots of its complete subtrees wherever those
// come from (tiles, memory), and their checks.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "audit/format/hash.h"

namespace oqto::audit {

// The root over the leaves [index << level, (index + 1) << level), nullopt if it cannot be had.
using NodeSource = std::function<std::optional<Hash>(unsigned level, std::uint64_t index)>;

std::optional<Hash> tree_root(std::uint64_t size, const NodeSource& node);

// §2.1.1: from the leaf's sibling upwards. Needs index < size.
std::optional<std::vector<Hash>> prove_inclusion(std::uint64_t index, std::uint64_t size,
                                                 const NodeSource& node);
// §2.1.2: that the first `old_size` leaves are a prefix. Empty for 0 and for `size` itself.
std::optional<std::vector<Hash>> prove_consistency(std::uint64_t old_size, std::uint64_t size,
                                                   const NodeSource& node);

// The roots of the fewest complete subtrees that the leaves [from, to) are made of, in their order: with
// them the edge of a tree of `from` leaves grows to `to` (Tree::grow).
std::optional<std::vector<Hash>> prove_growth(std::uint64_t from, std::uint64_t to,
                                              const NodeSource& node);
// The level of the first of them; needs from < to.
unsigned growth_level(std::uint64_t from, std::uint64_t to);

// RFC 9162 §2.1.3.2. An index beyond the tree, a hash too many or too few: refused. The check of a
// consistency proof is verify_prefix() in audit/format/tree.h.
bool verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf, const Hash& root,
                      std::span<const Hash> proof);

}  // namespace oqto::audit
