// Makes and checks proofs about a log directory: from its checkpoint and its tiles, without reading
// the rest of the log.
#pragma once
#include <cstdint>
#include <string>

#include "audit/format/note.h"
#include "audit/read/proof_file.h"
#include "audit/read/seals.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

// The published checkpoint of a log directory, checked.
struct Published {
  std::string note;
  Checkpoint checkpoint;
};
Result<Published> read_published(const Fd& log, const VerifierKey& key);

// The seals before this note's end, which the note's tree holds. Reads every segment once. Errors as
// make_inclusion(); whether the seals are good, follow_seals() says.
Result<Seals> make_seals(const Fd& log, const std::string& note);

// The tree may be smaller than the published one. Errc::not_found: tiles are missing.
// Errc::denied: they do not fit the checkpoint.
Result<InclusionProof> make_inclusion(const Fd& log, const Published& tree, std::uint64_t index);
Result<ConsistencyProof> make_consistency(const Fd& log, const Published& tree,
                                          std::uint64_t old_size);

// One entry from its bundle.
Result<std::string> read_entry(const Fd& log, std::uint64_t index, std::uint64_t tree_size);

}  // namespace oqto::audit
