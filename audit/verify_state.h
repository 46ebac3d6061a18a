// What the two halves of the verifier share: verify.cc reads the segments, verify_tiles.cc compares
// the derived files with them.
#pragma once
#include <string>
#include <vector>

#include "audit/format.h"
#include "audit/tree.h"
#include "audit/verify.h"
#include "base/fd.h"

namespace oqto::audit {

struct Verification {
  const Fd& dir;
  const VerifierKey& key;
  Report report;
  std::vector<Hash> leaves;  // of all signed entries, as far as they can be established
  Tree tree;                 // over `leaves`
  bool is_complete = true;   // no leaf is uncertain: roots and tiles can be compared

  void find(std::string where, std::string what) {
    report.findings.push_back({std::move(where), std::move(what)});
  }
};

constexpr std::size_t kMaxTileBytes = kTileWidth * (2 + 65535);

void verify_tiles(Verification& verification);

// The leaf hashes [from, to) as tile/0 has them, empty if it does not have all. Not yet to be
// believed: the caller compares with a signed root.
std::vector<Hash> hashes_from_tiles(const Fd& dir, std::uint64_t from, std::uint64_t to);

std::string entry_range(std::uint64_t first, std::uint64_t end);  // "entry 7", "entries 7..9"
std::string short_hex(const Hash& hash);

}  // namespace oqto::audit
