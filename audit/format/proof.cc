#include "audit/format/proof.h"

#include <algorithm>
#include <bit>

#include "base/result.h"

namespace oqto::audit {
namespace {

// The root over [from, to), as the tree has it: `from` is a multiple of the range's width rounded
// up to a power of two.
std::optional<Hash> range_root(std::uint64_t from, std::uint64_t to, const NodeSource& node) {
  std::vector<Hash> parts;  // complete subtrees, largest first
  while (from < to) {
    const std::uint64_t width = std::bit_floor(to - from);
    const auto level = static_cast<unsigned>(std::countr_zero(width));
    const auto part = node(level, from >> level);
    if (!part) return std::nullopt;
    parts.push_back(*part);
    from += width;
  }
  Hash root = parts.back();
  for (std::size_t i = parts.size() - 1; i > 0; --i) root = node_hash(parts[i - 1], root);
  return root;
}

struct Prover {
  const NodeSource& node;
  std::vector<Hash> proof = {};

  bool add(std::uint64_t from, std::uint64_t to) {
    const auto root = range_root(from, to, node);
    if (root) proof.push_back(*root);
    return root.has_value();
  }

  bool path(std::uint64_t index, std::uint64_t from, std::uint64_t to) {
    if (to - from == 1) return true;
    const std::uint64_t middle = from + std::bit_floor(to - from - 1);
    if (index < middle) return path(index, from, middle) && add(middle, to);
    return path(index, middle, to) && add(from, middle);
  }

  // SUBPROOF; `whole`: the old tree's root is known to who checks.
  bool prefix(std::uint64_t old_size, std::uint64_t from, std::uint64_t to, bool whole) {
    if (old_size == to) return whole || add(from, to);
    const std::uint64_t middle = from + std::bit_floor(to - from - 1);
    if (old_size <= middle) return prefix(old_size, from, middle, whole) && add(middle, to);
    return prefix(old_size, middle, to, false) && add(from, middle);
  }
};

}  // namespace

std::optional<Hash> tree_root(std::uint64_t size, const NodeSource& node) {
  return size == 0 ? sha256("") : range_root(0, size, node);
}

std::optional<std::vector<Hash>> prove_inclusion(std::uint64_t index, std::uint64_t size,
                                                 const NodeSource& node) {
  CHECK(index < size);
  Prover prover{node};
  if (!prover.path(index, 0, size)) return std::nullopt;
  return std::move(prover.proof);
}

std::optional<std::vector<Hash>> prove_consistency(std::uint64_t old_size, std::uint64_t size,
                                                   const NodeSource& node) {
  CHECK(old_size <= size);
  Prover prover{node};
  if (old_size > 0 && !prover.prefix(old_size, 0, size, true)) return std::nullopt;
  return std::move(prover.proof);
}

unsigned growth_level(std::uint64_t from, std::uint64_t to) {
  const int fits = static_cast<int>(std::bit_width(to - from)) - 1;
  return static_cast<unsigned>(from == 0 ? fits : std::min(fits, std::countr_zero(from)));
}

std::optional<std::vector<Hash>> prove_growth(std::uint64_t from, std::uint64_t to,
                                              const NodeSource& node) {
  std::vector<Hash> hashes;
  while (from < to) {
    const unsigned level = growth_level(from, to);
    const auto hash = node(level, from >> level);
    if (!hash) return std::nullopt;
    hashes.push_back(*hash);
    from += std::uint64_t{1} << level;
  }
  return hashes;
}

bool verify_inclusion(std::uint64_t index, std::uint64_t size, const Hash& leaf, const Hash& root,
                      std::span<const Hash> proof) {
  if (index >= size) return false;
  std::uint64_t place = index;
  std::uint64_t last = size - 1;
  Hash sum = leaf;
  for (const Hash& sibling : proof) {
    if (last == 0) return false;
    if ((place & 1) != 0 || place == last) {
      sum = node_hash(sibling, sum);
      while ((place & 1) == 0 && place != 0) {
        place >>= 1;
        last >>= 1;
      }
    } else {
      sum = node_hash(sum, sibling);
    }
    place >>= 1;
    last >>= 1;
  }
  return last == 0 && sum == root;
}

}  // namespace oqto::audit
