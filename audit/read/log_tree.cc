#include "audit/read/log_tree.h"

#include <bit>

#include "audit/format/proof.h"
#include "audit/format/tree.h"
#include "base/result.h"

namespace oqto::audit {
namespace {

constexpr unsigned kTileHeight = 8;

}  // namespace

void LogTree::append(const Hash& leaf) {
  edge_.push_back(leaf);
  unsigned height = 0;
  for (std::uint64_t rest = size(); (rest & 1) != 0; rest >>= 1) {
    const Hash right = edge_.back();
    edge_.pop_back();
    edge_.back() = node_hash(edge_.back(), right);
    if (++height % kTileHeight != 0) continue;
    if (levels_.size() == height / kTileHeight) levels_.emplace_back();
    levels_[height / kTileHeight].push_back(edge_.back());
  }
  levels_.front().push_back(leaf);
}

void LogTree::truncate(std::uint64_t size) {
  for (std::size_t i = 0; i < levels_.size(); ++i) levels_[i].resize(size >> kTileHeight * i);
  edge_.clear();
  for (std::uint64_t at = 0; at < size;) {
    const std::uint64_t width = std::bit_floor(size - at);
    const auto height = static_cast<unsigned>(std::countr_zero(width));
    edge_.push_back(node(height, at >> height));
    at += width;
  }
}

Hash LogTree::root() const {
  if (edge_.empty()) return sha256("");
  Hash root = edge_.back();
  for (std::size_t i = edge_.size() - 1; i > 0; --i) root = node_hash(edge_[i - 1], root);
  return root;
}

Hash LogTree::root_at(std::uint64_t size) const {
  if (size == this->size()) return root();
  return *tree_root(size, [this](unsigned height, std::uint64_t index) -> std::optional<Hash> {
    return node(height, index);
  });
}

std::span<const Hash> LogTree::level(std::size_t number) const {
  return number < levels_.size() ? std::span<const Hash>(levels_[number]) : std::span<const Hash>();
}

Hash LogTree::node(unsigned height, std::uint64_t index) const {
  const auto hashes = level(height / kTileHeight);
  const unsigned within = height % kTileHeight;
  CHECK((index + 1) << within <= hashes.size());
  return root_of(hashes.subspan(index << within, std::size_t{1} << within));
}

}  // namespace oqto::audit
