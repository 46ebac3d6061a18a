// For tests: everything that can be done to a copy of a log, and who must notice.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "audit/format/format.h"
#include "audit/format/note.h"

namespace oqto::audit {

// What is handed to the verifiers. Each corruption gets a fresh copy.
struct Copy {
  std::string log;       // directory
  std::string since;     // a file: an older checkpoint
  std::string cosigned;  // a file: the checkpoint with a witness's line
  const SigningKey& key;      // the log's own, for what only its thief can do
  const SigningKey& epoch_key;  // that of the last epoch
  const SigningKey& thief;      // one that the log never had
  const SigningKey& witness;    // a witness's
  bool is_alone = false;        // nobody remembers a checkpoint, no witness has seen one
  std::string other_log;        // a directory: a fork of the log, by the same key
  [[nodiscard]] std::string sign(const Checkpoint& checkpoint) const;  // with both of the log
};

// Which file is corrupt decides who looks at it.
enum class Where {
  segment,     // ours, Go
  entries,     // ours, Go, Python: entry bundles
  hashes,      // ours, Go, Python: hash tiles
  checkpoint,  // ours, Go, Python, openssl: the note by itself
  tree,        // ours, Go, Python: a good note of another tree
  epochs,      // ours, Go, Python: seals, and who signed what when
  cosigned,    // ours, Go, openssl
};

struct Corruption {
  Where where;
  std::string name;
  std::function<void(const Copy&)> apply;
  std::string expected;  // what our finding says
};
std::vector<Corruption> file_corruptions();  // segments, bundles, tiles
std::vector<Corruption> note_corruptions();  // checkpoints and cosignatures
std::vector<Corruption> epoch_corruptions();
void rewrite_unchanged(const Copy& copy);  // what the epoch corruptions do beside their change

// --- tools ---

std::string replaced(std::string text, std::string_view what, std::string_view with);
void edit_file(const std::string& path, const std::function<std::string(std::string)>& edit);
std::string segment_path(const Copy& copy, std::size_t number);

// A batch as it can be changed and written again, with digests that fit.
struct RawBatch {
  std::uint64_t first = 0;
  std::vector<std::string> entries;
  std::string note;
  std::uint64_t note_size = 0;
};
std::vector<RawBatch> read_batches(const std::string& segment);
std::string write_batches(const std::vector<RawBatch>& batches);

}  // namespace oqto::audit
