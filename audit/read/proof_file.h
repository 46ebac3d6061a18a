// Proofs as files. Inclusion: C2SP tlog-proof, with the entry itself as its extra data, so that one
// file shows one entry to somebody who has nothing else. Consistency: what C2SP tlog-witness has as
// its request body.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/hash.h"

namespace oqto::audit {

constexpr std::size_t kMaxProofHashes = 63;

struct InclusionProof {
  std::optional<std::string> extra;
  std::uint64_t index = 0;
  std::vector<Hash> hashes;
  std::string note;
};
std::string write_inclusion(const InclusionProof& proof);
std::optional<InclusionProof> read_inclusion(std::string_view text);

struct ConsistencyProof {
  std::uint64_t old_size = 0;
  std::vector<Hash> hashes;
  std::string note;  // of the larger tree
};
std::string write_consistency(const ConsistencyProof& proof);
std::optional<ConsistencyProof> read_consistency(std::string_view text);

}  // namespace oqto::audit
