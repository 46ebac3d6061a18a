#include "audit/verify/verify.h"

#include <fcntl.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "audit/format/json.h"
#include "audit/format/segment_file.h"
#include "audit/format/time_text.h"
#include "audit/verify/verify_state.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxNoteFile = 64 * 1024;
constexpr unsigned kMaxThreads = 16;
constexpr const char* kCosigned = "the cosigned checkpoint";
constexpr const char* kKept = "the checkpoint you kept";

std::optional<std::string> read_checkpoint_file(Verification& v) {
  auto note = read_log_file(v.dir, kCheckpointFile, kMaxNoteFile);
  if (!note && note.error().sys == ENOENT) v.find(kCheckpointFile, "is missing");
  else if (!note) v.cannot_read(kCheckpointFile, note.error());
  if (!note) return std::nullopt;
  ++v.report.files;
  v.claimed = read_checkpoint(*note);
  if (v.claimed) v.notes[v.claimed->size];
  if (v.claimed) v.times.uncovered = v.claimed->size;
  return std::move(*note);
}

// By the keys that the seals name; what is beyond the last entry may be of a later epoch.
void check_checkpoint_file(Verification& v, const std::string& note) {
  const EpochKeys* keys = v.claimed ? v.chain.of_size(v.claimed->size) : nullptr;
  const bool is_ours = keys == nullptr || v.has_given_key();
  const bool by_log_alone = keys == nullptr || v.misses_seals || v.claimed->size > v.tree.size();
  const auto checkpoint = !is_ours       ? verify_checkpoint(note, v.key)
                          : by_log_alone ? verify_checkpoint(note, keys == nullptr ? v.key : keys->log)
                                         : verify_in_epoch(note, *keys);
  if (checkpoint) {
    v.report.checkpoint = *checkpoint;
  } else {
    v.find(kCheckpointFile, checkpoint.error().what);
  }
}

// Any key that the log had may have signed what an auditor kept.
bool is_by_log(const Verification& v, const std::string& text) {
  if (verify_checkpoint(text, v.key)) return true;
  const auto is_signer = [&](const EpochKeys& keys) {
    return keys.log != v.key && verify_checkpoint(text, keys.log).has_value();
  };
  std::vector<EpochKeys> distinct;
  for (const EpochKeys& keys : v.chain.links()) {
    if (distinct.empty() || distinct.back().log != keys.log) distinct.push_back(keys);
  }
  return v.has_given_key() && std::ranges::any_of(distinct, is_signer);
}

// It is a copy of the note that ends a batch. Witnesses may have signed below.
void check_is_of_batch(Verification& v, const std::string& note) {
  const std::uint64_t size = v.report.checkpoint->size;
  const std::string& of_batch = v.notes[size];
  if (!v.is_complete || (size > 0 && size <= v.from) || size > v.tree.size()) return;
  if (of_batch.empty() && (v.report.unreadable > 0 || v.report.batches == 0)) return;
  if (of_batch.empty()) {
    return v.find(kCheckpointFile, "signs " + std::to_string(size) +
                                       " entries: no batch of the segments ends there");
  }
  if (!note.starts_with(of_batch)) {
    return v.find(kCheckpointFile, "differs from the checkpoint in the segments of the same size");
  }
  if (note.size() == of_batch.size()) return;
  const auto others = read_note(note)->signatures.size() - read_note(of_batch)->signatures.size();
  v.report.remarks.push_back(std::string(kCheckpointFile) + ": " + std::to_string(others) +
                             " signature lines of others, not checked");
}

// `note` was signed by the log: if it signs another tree than the segments hold, the two notes of
// that size are the proof.
void check_root(Verification& v, const std::string& where, const Checkpoint& checkpoint,
                const std::string& note) {
  const std::uint64_t size = v.tree.size();
  if (checkpoint.size > size && v.has_unread_gap) return;
  if (checkpoint.size > size) {
    return v.find(kSegmentDir,
                  "lacks " + entry_range(size, checkpoint.size) + ", which " + where +
                      " covers: removed, or copied before the checkpoint was",
                  size);
  }
  if (!v.is_complete) return;
  const Hash root = v.tree.root_at(checkpoint.size);
  if (root == checkpoint.root) return;
  v.find(where, "signs another tree of " + std::to_string(checkpoint.size) +
                    " entries: its root is " + short_hex(checkpoint.root) +
                    ", that of the segments " + short_hex(root));
  const auto other = v.notes.find(checkpoint.size);
  if (other == v.notes.end() || other->second.empty()) return;
  const auto contradiction = read_checkpoint(other->second);
  if (contradiction && is_by_log(v, other->second) && contradiction->root != checkpoint.root) {
    v.report.evidence = {note, other->second};
  }
}

Status check_directory(Verification& v) {
  for (const std::string& name : TRY(list_directory(v.dir))) {
    if (name == kSegmentDir || name == kTileDir || name == kTmpDir || name == kCheckpointFile ||
        name == kBlobDir || name == kKeysDir)
      continue;
    v.find(printable(name), "does not belong to the log");
  }
  const auto tmp = sys::open_beneath(v.dir, kTmpDir, O_RDONLY | O_DIRECTORY);
  if (!tmp) return {};
  for (const std::string& name : TRY(list_directory(*tmp))) {
    if (name != "new" && name != kSpareSegment && !name.starts_with(kSpareKey))
      v.find(std::string(kTmpDir) + "/" + printable(name), "does not belong to the log");
  }
  return {};
}

struct Kept {
  std::string where;
  std::string note;
  Checkpoint checkpoint;
};

Result<std::vector<Kept>> kept_notes(const VerifyOptions& options, const VerifierKey& key) {
  std::vector<Kept> kept;
  const auto add = [&](const std::string& where, const std::string& note) -> Status {
    const auto checkpoint = read_checkpoint(note);
    const bool is_ours = checkpoint && checkpoint->origin == key.name;
    if (is_ours) kept.push_back({where, note, *checkpoint});
    // A cosigned one of another log is a finding, not a wrong usage.
    if (is_ours || where == kCosigned) return {};
    return fail(Errc::bad_message, "what was kept is not a checkpoint of this log");
  };
  for (const std::string& note : options.known) TRY(add(kKept, note));
  if (options.since) TRY(add(kKept, *options.since));
  if (options.cosigned) TRY(add(kCosigned, *options.cosigned));
  return kept;
}

// One that no key of the log signed is told beside what else was found: it may be that the seals are damaged which
// name its key.
void check_kept(Verification& v, const Kept& kept) {
  if (is_by_log(v, kept.note)) return check_root(v, kept.where, kept.checkpoint, kept.note);
  if (kept.where == kCosigned) return;  // check_witnesses() says so
  if (v.pruned > 0 || v.misses_seals) {
    return v.cannot_check(kept.where, "is signed with no key that the seals which are left name");
  }
  v.find(kept.where, "is not signed with any key that this log had: it is another log's, or one of the two was forged");
}

void check_witnesses(Verification& v, const VerifyOptions& options) {
  if (!options.cosigned) {
    if (!options.witnesses.empty()) v.find(kCosigned, "is missing: no witness has signed");
    return;
  }
  auto checkpoint = verify_checkpoint(*options.cosigned, v.key);
  if (!checkpoint && is_by_log(v, *options.cosigned)) checkpoint = *read_checkpoint(*options.cosigned);
  if (!checkpoint) v.find(kCosigned, checkpoint.error().what);
  for (const VerifierKey& witness : options.witnesses) {
    const auto time = verify_cosignature(*options.cosigned, witness);
    if (!time) {
      v.find(kCosigned, "witness " + witness.name + ": " + time.error().what);
    } else if (checkpoint) {
      v.report.remarks.push_back("witness " + witness.name + " saw the first " +
                                 std::to_string(checkpoint->size) + " entries at " +
                                 utc_text(*time * 1000));
    }
  }
  if (!checkpoint || options.witnesses.empty() || checkpoint->size >= v.tree.size()) return;
  v.report.remarks.push_back(entry_range(checkpoint->size, v.tree.size()) +
                             " came after it and are not witnessed");
}

// What the log's key alone stands behind.
void remark_pin(Verification& v) {
  if (v.first_epoch || v.chain.last() == nullptr) return;
  v.remark("the past is protected by the log's key alone: a thief of it could have begun another history at "
           "entry 0. Give both lines of log.vkey, as a file or as one argument");
}

Result<Report> verify_once(const Fd& dir, const VerifierKey& key, const VerifyOptions& options) {
  Verification v{.dir = dir, .key = key};
  v.first_epoch = options.first_epoch;
  v.threads = options.threads != 0 ? options.threads : std::thread::hardware_concurrency();
  v.threads = std::clamp(v.threads, 1U, kMaxThreads);
  const auto kept = TRY(kept_notes(options, key));
  for (const Kept& old : kept) v.notes[old.checkpoint.size];
  if (options.since) v.from = read_checkpoint(*options.since)->size;
  TRY(check_directory(v));
  // In this order a log in use is whole: what a checkpoint covers has its tiles before, and every tile its
  // entries in the segments.
  const auto note = read_checkpoint_file(v);
  const auto tiles = list_tiles(v);
  TRY(verify_segments(v));
  if (note) check_checkpoint_file(v, *note);
  verify_reach(v);
  v.report.entries = v.tree.size();
  v.report.not_read = v.from;
  const std::uint64_t defects = v.report.defects;
  if (v.report.checkpoint) check_root(v, kCheckpointFile, *v.report.checkpoint, *note);
  if (v.report.checkpoint && v.report.defects == defects) check_is_of_batch(v, *note);
  verify_tiles(v, tiles);
  verify_pruned(v);
  verify_blobs(v);
  v.keys.judge(v);
  v.times.judge(v);
  remark_pin(v);
  for (const Kept& old : kept) check_kept(v, old);
  check_witnesses(v, options);
  return std::move(v.report);
}

}  // namespace

std::string entry_range(std::uint64_t first, std::uint64_t end) {
  if (end <= first + 1) return "entry " + std::to_string(first);
  return "entries " + std::to_string(first) + ".." + std::to_string(end - 1);
}

std::string short_hex(const Hash& hash) {
  return to_hex(std::span(hash).first(8)) + "…";
}

Result<Report> verify_log(const std::string& path, const VerifierKey& key,
                          const VerifyOptions& options) {
  const Fd dir = TRY(sys::open_dir(path.c_str()));
  auto report = verify_once(dir, key, options);
  if (!report || report->is_clean() || !options.since) return report;
  // Something is wrong: what exactly, only the whole log says.
  VerifyOptions whole = options;
  whole.known.push_back(*std::exchange(whole.since, std::nullopt));
  return verify_once(dir, key, whole);
}

}  // namespace oqto::audit
