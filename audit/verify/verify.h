// The auditor's check of a copied log directory, offline, with nothing but the public key. Every
// byte of every file is accounted for. The segments are the truth; whatever disagrees is named
// once.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/format/note.h"

namespace oqto::audit {

struct Finding {
  std::string where;                   // file, relative to the log directory
  std::string what;                    // what was expected, and what was found
  std::optional<std::uint64_t> entry;  // the first one concerned, if it is known
};

struct Report {
  static constexpr std::size_t kMaxFindings = 1000;  // those beyond are only counted

  std::vector<Finding> findings;
  std::uint64_t defects = 0;
  std::vector<Finding> not_checked;  // what we could not read, which is no defect
  std::uint64_t unreadable = 0;
  std::vector<std::string> remarks;   // worth knowing, no defects
  std::vector<std::string> evidence;  // notes that, side by side, prove that the log lied
  std::uint64_t entries = 0;          // signed ones in the segments
  std::uint64_t not_read = 0;         // of those, before `since`
  std::uint64_t batches = 0;
  std::uint64_t files = 0;
  std::optional<Checkpoint> checkpoint;
  std::uint64_t newest_ms = 0;  // the time of the newest entry that was read
  [[nodiscard]] bool is_clean() const { return defects == 0 && unreadable == 0; }
};

struct VerifyOptions {
  // The key that epoch 0 must have had: the second line of the log's key file.
  std::optional<VerifierKey> first_epoch = {};
  // Older checkpoint notes that the auditor kept: the log must be the continuation of each.
  std::vector<std::string> known = {};
  // The same, and what it covers is not read again: only its hashes, from the tiles.
  std::optional<std::string> since = {};
  // A note with cosignatures of these witnesses: each must have signed it, and the log hold it.
  std::optional<std::string> cosigned = {};
  std::vector<VerifierKey> witnesses = {};
  unsigned threads = 0;  // 0: as many as there are processors
};

// An error means that the directory, or a note of the options, could not be read at all.
Result<Report> verify_log(const std::string& dir, const VerifierKey& key,
                          const VerifyOptions& options = {});

}  // namespace oqto::audit
