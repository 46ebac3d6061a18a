// The Merkle tree of RFC 6962 §2.1, as its right edge: enough to append, to know the root and to
// prove that one size of the log is a prefix of the next. Memory is logarithmic in the log.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "audit/format/hash.h"

namespace oqto::audit {

class Tree {
 public:
  void append(const Hash& leaf);
  // To `size`, with what prove_growth() made. False: the hashes do not lead there, and nothing changed.
  bool grow(std::uint64_t size, std::span<const Hash> hashes);
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] Hash root() const;

  // The proof of RFC 6962 §2.1.2 that this tree is a prefix of itself with `leaves` appended.
  [[nodiscard]] std::vector<Hash> prove_prefix(std::span<const Hash> leaves) const;

 private:
  void add(unsigned level, const Hash& root);

  std::uint64_t size_ = 0;
  std::vector<Hash> edge_;  // roots of the complete subtrees, largest first: one per bit of size_
};

Hash root_of(std::span<const Hash> leaves);

// RFC 9162 §2.1.4.2. A proof with a hash too many or too few is refused.
bool verify_prefix(std::uint64_t old_size, const Hash& old_root, std::uint64_t size,
                   const Hash& root, std::span<const Hash> proof);

}  // namespace oqto::audit
