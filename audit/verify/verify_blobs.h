// Blobs and pruning, as the verifier sees them: what the entries say about files beside the log.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "audit/read/open_entry.h"

namespace oqto::audit {

struct Verification;

// What is collected while the entries are read.
struct BlobNotes {
  struct Named {
    std::uint64_t entry = 0;
    BlobReference blob;
  };
  std::vector<Named> named;
  // The newest entry by which auditd permitted to remove what is before `minimum`.
  struct Prune {
    std::uint64_t entry = 0;
    std::uint64_t minimum = 0;
  };
  std::optional<Prune> prune;

  void add(std::uint64_t index, std::string_view entry);
};

// Every blob that a present entry names is there and is what its name says, and blob/ holds nothing
// else than blobs.
void verify_blobs(Verification& verification);

// The entries before the first segment: gone because the log says so, or missing.
void verify_pruned(Verification& verification);

}  // namespace oqto::audit
