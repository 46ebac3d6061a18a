#include "audit/cli/pinned.h"
#include "audit/format/json.h"
#include "audit/format/proof.h"
#include "audit/format/time_text.h"
#include "audit/format/tree.h"
#include "audit/read/entry_view.h"
#include "audit/read/open_entry.h"
#include "audit/read/proof_file.h"
#include "base/encoding.h"

namespace oqto::audit::cli {
namespace {

constexpr std::size_t kMaxProofFile = 256 * 1024;  // an entry in base64, hashes and a note

struct Checked {
  Pinned pinned;
  Checkpoint checkpoint;
  std::string more;  // one line per witness, and what was not shown
};

// The seals must lead to the very checkpoint of the proof: signatures alone would not show that
// what was sealed is in its tree.
bool follow(const Arguments& arguments, const std::string& note, Pinned& pinned, int& status) {
  const std::string path = arguments.get("--seals");
  const auto text = read_file(path, kMaxSealsFile);
  if (!text) {
    status = complain(path + ": " + reason(text.error()));
    return false;
  }
  const auto seals = read_seals(*text);
  if (!seals) {
    status = unproven(path + " holds no seals, or not all of them");
    return false;
  }
  auto followed = follow_seals(*seals, pinned.pin, arguments.has("--pruned"));
  if (!followed) {
    status = unproven(path + ": " + followed.error());
    return false;
  }
  if (read_checkpoint(note) != followed->checkpoint) {
    status = unproven(path +
                      " leads to another checkpoint than the proof's: make both at once, with "
                      "`oqto-audit prove --seals`");
    return false;
  }
  pinned.seals = std::move(*followed);
  return true;
}

// The note of a proof, with the cosignatures that are demanded.
std::optional<Checked> check_note(const Arguments& arguments, const std::string& note,
                                  int& status) {
  status = kUnusable;
  auto pinned = Pinned::read(arguments);
  const auto witnesses = pinned ? witness_keys(arguments) : std::nullopt;
  if (!witnesses) return std::nullopt;
  if (arguments.has("--seals") && !follow(arguments, note, *pinned, status)) return std::nullopt;
  const auto checkpoint = pinned->verify(note);
  if (!checkpoint) {
    const auto claimed = read_checkpoint(note);
    const bool may_be_rotated =
        !pinned->seals && claimed && claimed->origin == pinned->pin.log.name;
    status = unproven("the proof's checkpoint: " + std::string(checkpoint.error().what) +
                      (may_be_rotated ? "; if the log's key was rotated, check with --seals" : ""));
    return std::nullopt;
  }
  Checked checked{std::move(*pinned), *checkpoint, {}};
  for (const VerifierKey& witness : *witnesses) {
    const auto time = verify_cosignature(note, witness);
    if (!time) {
      status = unproven("witness " + witness.name + ": " + time.error().what);
      return std::nullopt;
    }
    checked.more += "    witness " + witness.name + " saw it at " + utc_text(*time * 1000) + "\n";
  }
  if (const std::string remark = checked.pinned.remark(); !remark.empty()) {
    checked.more += "    note: " + remark + "\n";
  }
  return checked;
}

std::string tree_text(const Checkpoint& checkpoint) {
  return "log " + checkpoint.origin + " of " + std::to_string(checkpoint.size) + " entries, root " +
         to_hex(checkpoint.root);
}

int check_inclusion(const Arguments& arguments, const InclusionProof& proof) {
  std::optional<std::string> entry = proof.extra;
  if (arguments.has("--entry")) {
    auto text = read_file(arguments.get("--entry"), 65536);
    if (!text) return complain(arguments.get("--entry") + ": " + reason(text.error()));
    entry = text->ends_with('\n') ? text->substr(0, text->size() - 1) : *text;
  }
  if (!entry) return complain("the proof does not hold the entry itself: give it with --entry");
  // No entry has a newline: what comes behind one is what `prove --open` discloses.
  std::optional<std::string> opened;
  if (const std::size_t end = entry->find('\n'); end != entry->npos) {
    opened = entry->substr(end + 1);
    entry->resize(end);
  }
  int status = kOk;
  const auto checked = check_note(arguments, proof.note, status);
  if (!checked) return status;
  const Checkpoint& tree = checked->checkpoint;
  if (!verify_inclusion(proof.index, tree.size, leaf_hash(*entry), tree.root, proof.hashes)) {
    return unproven("entry " + std::to_string(proof.index) + " is not proven to be in the " +
                    tree_text(tree));
  }
  if (opened && !is_committed(*entry, *opened)) {
    return unproven("what the proof discloses is not what entry " + std::to_string(proof.index) +
                    " committed to");
  }
  const std::string shown = opened ? with_plaintext(*entry, *opened) : *entry;
  if (arguments.has("--json")) return print(entry_json(shown) + "\n") ? kOk : kUnusable;
  (void)print("ok: entry " + std::to_string(proof.index) + " is in the " + tree_text(tree) + "\n" +
              (opened ? "    its personal fields are disclosed, as it committed to them\n" : "") + checked->more +
              entry_line(shown) + "\n");
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
  if (!note) return complain(arguments.get("--old") + " cannot be read");
  const auto old = checked->pinned.verify(*note);
  if (!old) return unproven("the older checkpoint: " + std::string(old.error().what));
  const Checkpoint& tree = checked->checkpoint;
  if (old->size != proof.old_size ||
      !verify_prefix(old->size, old->root, tree.size, tree.root, proof.hashes)) {
    return unproven("not proven to continue the checkpoint of " + std::to_string(old->size) +
                    " entries: " + tree_text(tree));
  }
  (void)print("ok: continues the checkpoint of " + std::to_string(old->size) +
              " entries: " + tree_text(tree) + "\n" + checked->more);
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

Command check_proof_command() {
  return {.name = "check-proof",
          .operands = "FILE",
          .min_operands = 1,
          .max_operands = 1,
          .summary =
              "Checks what `oqto-audit prove` made, with the public key alone, and shows "
              "the entry.",
          .details = "Of a proof that was made with --open the personal fields are shown too, if they are what\n"
                     "the entry committed to.\n"
                     "Exit status: 0 proven, 1 not proven, 2 not readable or wrong usage.",
          .options = {vkey_option(),
                      witness_option(),
                      {"--seals", "FILE",
                       "the log's seals, as `prove --seals` wrote them with the proof: demand the\n"
                       "signature of the epoch's key, followed from the second line of log.vkey"},
                      {"--pruned", "",
                       "the first seals may be missing: what was before them is then\n"
                       "protected by the log's key alone"},
                      {"--entry", "FILE", "the entry, if the proof does not hold it"},
                      {"--old", "FILE", "the older checkpoint of a consistency proof"},
                      {"--json", "", "the entry itself, with what is disclosed of it"}},
          .run = check_proof};
}

}  // namespace oqto::audit::cli
