// The auditor's check of a copied log directory, offline, with nothing but the public key. Every
// byte of every file is accounted for. The segments are the truth; whatever disagrees is named
// once.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/note.h"

namespace oqto::audit {

struct Finding {
  std::string where;  // file, relative to the log directory
  std::string what;   // which entry, what was expected
};

struct Report {
  std::vector<Finding> findings;
  std::vector<std::string> remarks;  // worth knowing, no defects
  std::uint64_t entries = 0;         // signed ones in the segments
  std::uint64_t batches = 0;
  std::uint64_t files = 0;
  std::optional<Checkpoint> checkpoint;
};

// `known`: an older checkpoint note that the auditor kept; the log must be its continuation.
// An error means that the directory could not be read at all.
Result<Report> verify_log(const std::string& dir, const VerifierKey& key,
                          const std::optional<std::string>& known);

}  // namespace oqto::audit
