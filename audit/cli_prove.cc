#include <fcntl.h>

#include "audit/cli.h"
#include "audit/entry_view.h"
#include "audit/json.h"
#include "audit/proof.h"
#include "audit/prove.h"
#include "audit/time_text.h"
#include "audit/tree.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

constexpr std::size_t kMaxProofFile = 256 * 1024;  // an entry in base64, hashes and a note

int unproven(const std::string& what) {
  (void)complain(what);
  return kFindings;
}

int write_out(const Arguments& arguments, const std::string& text) {
  if (!arguments.has("--out")) return print(text) ? kOk : kUnusable;
  const std::string path = arguments.get("--out");
  const auto file = sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  const Status written = file ? sys::write_all(*file, text) : std::unexpected(file.error());
  return written ? kOk : complain(path + ": " + reason(written.error()));
}

// The log's own checkpoint, or the one with cosignatures that the auditor keeps.
Result<Published> proving_note(const Arguments& arguments, const Fd& log, const VerifierKey& key) {
  if (!arguments.has("--cosigned")) return read_published(log, key);
  Published published;
  published.note = TRY(read_file(arguments.get("--cosigned"), kMaxNoteFile));
  published.checkpoint = TRY(verify_checkpoint(published.note, key));
  return published;
}

// What proofs fail of: the log's content (1), or that it cannot be read (2).
int proof_failed(const std::string& log, const Error& error) {
  const std::string what = "the log " + log + ": " + reason(error);
  if (error.code == Errc::denied || error.code == Errc::bad_message) {
    return unproven(what + "; run `oqto-audit verify`");
  }
  return complain(what);
}

int prove_entry(const Arguments& arguments, const Fd& log, const Published& tree) {
  const auto index = number(arguments.operands.front());
  if (!index) return complain("prove needs the entry's number; see `oqto-audit prove --help`");
  if (*index >= tree.checkpoint.size) {
    return complain("entry " + std::to_string(*index) + " is not in the checkpoint, which is of " +
                    std::to_string(tree.checkpoint.size) + " entries");
  }
  const auto proof = make_inclusion(log, tree, *index);
  if (!proof) return proof_failed(log_dir(arguments), proof.error());
  return write_out(arguments, write_inclusion(*proof));
}

int prove_continuation(const Arguments& arguments, const Fd& log, const Published& tree,
                       const VerifierKey& key) {
  const std::string path = arguments.get("--consistency");
  const auto note = read_file(path, kMaxNoteFile);
  if (!note) return complain("the older checkpoint " + path + ": " + reason(note.error()));
  const auto old = verify_checkpoint(*note, key);
  if (!old) return complain("the older checkpoint " + path + ": " + old.error().what);
  if (old->size > tree.checkpoint.size) {
    return unproven("the log's checkpoint is of " + std::to_string(tree.checkpoint.size) +
                    " entries, fewer than the " + std::to_string(old->size) + " of " + path);
  }
  const auto proof = make_consistency(log, tree, old->size);
  if (!proof) return proof_failed(log_dir(arguments), proof.error());
  if (!verify_prefix(old->size, old->root, tree.checkpoint.size, tree.checkpoint.root,
                     proof->hashes)) {
    (void)print("The log is no continuation of the older checkpoint. It has signed both:\n\n" +
                quoted_note(*note) + "\n" + quoted_note(tree.note));
    return unproven("no proof: the two checkpoints contradict each other");
  }
  return write_out(arguments, write_consistency(*proof));
}

int prove(const Arguments& arguments) {
  const bool consistency = arguments.has("--consistency");
  if (consistency == (arguments.operands.size() == 1)) {
    return complain("prove needs INDEX or --consistency; see `oqto-audit prove --help`");
  }
  const auto key = log_key(arguments);
  if (!key) return kUnusable;
  const std::string path = log_dir(arguments);
  const auto log = sys::open_dir(path.c_str());
  if (!log) return complain("the log " + path + ": " + reason(log.error()));
  const auto tree = proving_note(arguments, *log, *key);
  if (!tree) return complain("the checkpoint of " + path + ": " + reason(tree.error()));
  return consistency ? prove_continuation(arguments, *log, *tree, *key)
                     : prove_entry(arguments, *log, *tree);
}

// --- check-proof ---

struct Checked {
  Checkpoint checkpoint;
  std::string witnessed;  // one line per witness
};

// The note of a proof, with the cosignatures that are demanded.
std::optional<Checked> check_note(const Arguments& arguments, const std::string& note,
                                  int& status) {
  status = kUnusable;
  const auto key = log_key(arguments);
  const auto witnesses = key ? witness_keys(arguments) : std::nullopt;
  if (!witnesses) return std::nullopt;
  const auto checkpoint = verify_checkpoint(note, *key);
  if (!checkpoint) {
    status = unproven("the proof's checkpoint: " + std::string(checkpoint.error().what));
    return std::nullopt;
  }
  Checked checked{*checkpoint, {}};
  for (const VerifierKey& witness : *witnesses) {
    const auto time = verify_cosignature(note, witness);
    if (!time) {
      status = unproven("witness " + witness.name + ": " + time.error().what);
      return std::nullopt;
    }
    checked.witnessed +=
        "    witness " + witness.name + " saw it at " + utc_text(*time * 1000) + "\n";
  }
  return checked;
}

std::string tree_text(const Checkpoint& checkpoint) {
  return "log " + checkpoint.origin + " of " + std::to_string(checkpoint.size) +
         " entries, root " + to_hex(checkpoint.root);
}

int check_inclusion(const Arguments& arguments, const InclusionProof& proof) {
  std::optional<std::string> entry = proof.extra;
  if (arguments.has("--entry")) {
    auto text = read_file(arguments.get("--entry"), 65536);
    if (!text) return complain(arguments.get("--entry") + ": " + reason(text.error()));
    entry = text->ends_with('\n') ? text->substr(0, text->size() - 1) : *text;
  }
  if (!entry) return complain("the proof does not hold the entry itself: give it with --entry");
  int status = kOk;
  const auto checked = check_note(arguments, proof.note, status);
  if (!checked) return status;
  const Checkpoint& tree = checked->checkpoint;
  if (!verify_inclusion(proof.index, tree.size, leaf_hash(*entry), tree.root, proof.hashes)) {
    return unproven("entry " + std::to_string(proof.index) + " is not proven to be in the " +
                    tree_text(tree));
  }
  if (arguments.has("--json")) return print(entry_json(*entry) + "\n") ? kOk : kUnusable;
  (void)print("ok: entry " + std::to_string(proof.index) + " is in the " + tree_text(tree) + "\n" +
              checked->witnessed + entry_line(*entry) + "\n");
  return kOk;
}

int check_consistency(const Arguments& arguments, const ConsistencyProof& proof) {
  int status = kOk;
  const auto checked = check_note(arguments, proof.note, status);
  if (!checked) return status;
  if (!arguments.has("--old")) {
    return complain("the older checkpoint of a consistency proof is given with --old");
  }
  const auto note = read_file(arguments.get("--old"), kMaxNoteFile);
  const auto key = log_key(arguments);
  if (!note || !key) return complain(arguments.get("--old") + " cannot be read");
  const auto old = verify_checkpoint(*note, *key);
  if (!old) return unproven("the older checkpoint: " + std::string(old.error().what));
  const Checkpoint& tree = checked->checkpoint;
  if (old->size != proof.old_size ||
      !verify_prefix(old->size, old->root, tree.size, tree.root, proof.hashes)) {
    return unproven("not proven to continue the checkpoint of " + std::to_string(old->size) +
                    " entries: " + tree_text(tree));
  }
  (void)print("ok: continues the checkpoint of " + std::to_string(old->size) + " entries: " +
              tree_text(tree) + "\n" + checked->witnessed);
  return kOk;
}

int check_proof(const Arguments& arguments) {
  const std::string& path = arguments.operands.front();
  const auto text = read_file(path, kMaxProofFile);
  if (!text) return complain(path + ": " + reason(text.error()));
  if (const auto proof = read_inclusion(*text)) return check_inclusion(arguments, *proof);
  if (const auto proof = read_consistency(*text)) return check_consistency(arguments, *proof);
  return unproven(path + " is no proof, or not all of one");
}

}  // namespace

Command prove_command() {
  return {.name = "prove",
          .operands = "[INDEX]",
          .max_operands = 1,
          .summary = "Makes a proof that entry INDEX is in the log, or that the log continues an "
                     "older checkpoint.",
          .details =
              "A proof of an entry (C2SP tlog-proof) holds the entry, its path in the tree and the\n"
              "checkpoint: who has it and the public key needs nothing else.",
          .options = {log_option(),
                      vkey_option(),
                      {"--consistency", "FILE", "an older checkpoint file"},
                      {"--cosigned", "FILE", "prove with this checkpoint, which has cosignatures"},
                      {"--out", "FILE", "where to write (default: to standard output)"}},
          .run = prove};
}

Command check_proof_command() {
  return {.name = "check-proof",
          .operands = "FILE",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Checks what `oqto-audit prove` made, with the public key alone, and shows "
                     "the entry.",
          .details = "Exit status: 0 proven, 1 not proven, 2 not readable or wrong usage.",
          .options = {vkey_option(),
                      witness_option(),
                      {"--entry", "FILE", "the entry, if the proof does not hold it"},
                      {"--old", "FILE", "the older checkpoint of a consistency proof"},
                      {"--json", "", "the entry itself"}},
          .run = check_proof};
}

}  // namespace oqto::audit::cli
