// What the parts of the verifier share: verify_segments.cc reads the segments, verify_tiles.cc
// compares the derived files with them.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "audit/log_tree.h"
#include "audit/tile_store.h"
#include "audit/verify.h"

namespace oqto::audit {

struct Verification {
  const Fd& dir;
  const VerifierKey& key;
  unsigned threads = 1;
  Report report = {};
  LogTree tree = {};            // over all signed entries, as far as they can be established
  bool is_complete = true;      // no leaf is uncertain: roots and tiles can be compared
  std::uint64_t from = 0;       // entries before it are not read
  std::map<std::uint64_t, std::string> notes = {};  // of sizes that are wanted as evidence
  std::set<std::uint64_t> bundles = {};  // full ones that equal the segments, byte by byte

  void find(std::string where, std::string what, std::optional<std::uint64_t> entry = {}) {
    ++report.defects;
    if (report.findings.size() == Report::kMaxFindings) return;
    report.findings.push_back({std::move(where), std::move(what), entry});
  }
  void append(const std::vector<Hash>& leaves) {
    for (const Hash& leaf : leaves) tree.append(leaf);
  }
};

Status verify_segments(Verification& verification);
void verify_tiles(Verification& verification);

std::string entry_range(std::uint64_t first, std::uint64_t end);  // "entry 7", "entries 7..9"
std::string short_hex(const Hash& hash);

}  // namespace oqto::audit
