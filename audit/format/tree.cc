#include "audit/format/tree.h"

#include <bit>

#include "audit/format/proof.h"
#include "base/result.h"

namespace oqto::audit {
namespace {

Hash fold(std::span<const Hash> edge) {
  if (edge.empty()) return sha256("");
  Hash root = edge.back();
  for (std::size_t i = edge.size() - 1; i > 0; --i) root = node_hash(edge[i - 1], root);
  return root;
}

// SUBPROOF of RFC 6962 §2.1.2. All that it ever needs are roots of the old tree's complete subtrees
// and roots over leaves that are new: no other node has to be kept.
struct PrefixProver {
  std::uint64_t old_size;
  std::span<const Hash> edge;
  std::span<const Hash> leaves;
  std::vector<Hash> proof;

  Hash range_root(std::uint64_t from, std::uint64_t to) const {
    if (from >= old_size) return root_of(leaves.subspan(from - old_size, to - from));
    std::uint64_t start = 0;
    for (const Hash& node : edge) {
      const std::uint64_t width = std::bit_floor(old_size - start);
      if (start == from) {
        CHECK(width == to - from);
        return node;
      }
      start += width;
    }
    CHECK(false);
  }

  void prove(std::uint64_t from, std::uint64_t to, bool whole) {
    if (old_size == to) {
      if (!whole) proof.push_back(range_root(from, to));
      return;
    }
    const std::uint64_t middle = from + std::bit_floor(to - from - 1);
    if (old_size <= middle) {
      prove(from, middle, whole);
      proof.push_back(range_root(middle, to));
    } else {
      prove(middle, to, false);
      proof.push_back(range_root(from, middle));
    }
  }
};

}  // namespace

void Tree::append(const Hash& leaf) {
  add(0, leaf);
}

// A complete subtree; the size is a multiple of its width.
void Tree::add(unsigned level, const Hash& root) {
  edge_.push_back(root);
  for (std::uint64_t rest = size_ >> level; (rest & 1) != 0; rest >>= 1) {
    const Hash right = edge_.back();
    edge_.pop_back();
    edge_.back() = node_hash(edge_.back(), right);
  }
  size_ += std::uint64_t{1} << level;
}

bool Tree::grow(std::uint64_t size, std::span<const Hash> hashes) {
  Tree grown = *this;
  for (const Hash& hash : hashes) {
    if (grown.size_ >= size) return false;
    grown.add(growth_level(grown.size_, size), hash);
  }
  if (grown.size_ != size) return false;
  *this = std::move(grown);
  return true;
}

Hash Tree::root() const {
  return fold(edge_);
}

std::vector<Hash> Tree::prove_prefix(std::span<const Hash> leaves) const {
  if (size_ == 0 || leaves.empty()) return {};
  PrefixProver prover{size_, edge_, leaves, {}};
  prover.prove(0, size_ + leaves.size(), true);
  return std::move(prover.proof);
}

Hash root_of(std::span<const Hash> leaves) {
  Tree tree;
  for (const Hash& leaf : leaves) tree.append(leaf);
  return tree.root();
}

bool verify_prefix(std::uint64_t old_size, const Hash& old_root, std::uint64_t size,
                   const Hash& root, std::span<const Hash> proof) {
  if (old_size > size) return false;
  if (old_size == size) return proof.empty() && old_root == root;
  if (old_size == 0) return proof.empty() && old_root == sha256("");
  std::uint64_t old_node = old_size - 1;
  std::uint64_t node = size - 1;
  while ((old_node & 1) != 0) {
    old_node >>= 1;
    node >>= 1;
  }
  Hash old_sum = old_root;
  if (!std::has_single_bit(old_size)) {
    if (proof.empty()) return false;
    old_sum = proof.front();
    proof = proof.subspan(1);
  }
  Hash sum = old_sum;
  for (const Hash& sibling : proof) {
    if (node == 0) return false;
    if ((old_node & 1) != 0 || old_node == node) {
      old_sum = node_hash(sibling, old_sum);
      sum = node_hash(sibling, sum);
      while ((old_node & 1) == 0 && old_node != 0) {
        old_node >>= 1;
        node >>= 1;
      }
    } else {
      sum = node_hash(sum, sibling);
    }
    old_node >>= 1;
    node >>= 1;
  }
  return node == 0 && old_sum == old_root && sum == root;
}

}  // namespace oqto::audit
