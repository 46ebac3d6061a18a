// Making a log smaller. What is removed must be permitted by an entry of the log itself (auditd writes
// it: server_manage.cc), so that an auditor can tell pruning from theft. Hash tiles stay: every proof of
// what remains, and of what was archived, can still be made.
#pragma once
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

struct Pruned {
  std::uint64_t minimum = 0;  // entries before it are in the archive
  std::uint64_t segments = 0;
  std::uint64_t bundles = 0;
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
};

// Up to which entry the log permits to prune. 0: nothing.
Result<std::uint64_t> permitted_minimum(const std::string& log);

// Moves whole segments and entry bundles before `minimum` to `archive`, a directory of the same form,
// and copies the hash tiles and the checkpoint there: with what remains copied beside it, it is the
// whole log again, and verifies. Each file is durable in the archive before it is removed; running it again goes on where it
// was interrupted.
Result<Pruned> prune_to(const std::string& log, const std::string& archive, std::uint64_t minimum);

// Moves (an empty `archive`: removes) blobs that no entry of the log names. Those that are younger than
// an hour stay: their entries may be on the way.
Result<Pruned> collect_blobs(const std::string& log, const std::string& archive);

}  // namespace oqto::audit
