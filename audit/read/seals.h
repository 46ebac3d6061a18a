// The seals of a log as one proof of its keys: who follows them from the pinned lines of log.vkey
// knows which keys must have signed a checkpoint, with nothing else of the log. The tree's right
// edge is carried from seal to seal: each seal's entry is hashed into its place, and the edge must
// have the root that the next seal, and at last the checkpoint, signs. As a file:
//
//   oqto-audit-seals/v1
//   <hash, base64>                the subtrees (prove_growth) from the place before to this seal
//   …
//   seal <index> <entry, base64>
//   …                             and so on; behind the last one, those that lead to the checkpoint
//
//   <checkpoint>                  a signed note
#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/epoch.h"

namespace oqto::audit {

struct PlacedSeal {
  std::uint64_t index = 0;
  std::string entry;
  std::vector<Hash> hashes;  // from behind the seal before
};
struct Seals {
  std::vector<PlacedSeal> seals;
  std::vector<Hash> hashes;  // from behind the last one to the checkpoint
  std::string note;
};
std::string write_seals(const Seals& seals);
std::optional<Seals> read_seals(std::string_view text);

// The lines of log.vkey. Without the second one a thief of the log's key could begin a history
// anew.
struct Pin {
  VerifierKey log;
  std::optional<VerifierKey> first_epoch;
};

struct FollowedSeals {
  KeyChain chain;
  std::uint64_t since =
      0;  // entries before it have the log's key's word alone: their seals are missing
  Checkpoint checkpoint;
};
// Demands every signature, number, size and root, and that the pinned log's key is one of the
// log's. An error says what is wrong and where. `may_begin_late`: of a pruned log the first seals
// may be missing.
std::expected<FollowedSeals, std::string> follow_seals(const Seals& seals, const Pin& pin,
                                                       bool may_begin_late);

}  // namespace oqto::audit
