#include <fcntl.h>

#include "audit/cli/pinned.h"
#include "audit/format/tree.h"
#include "audit/read/open_entry.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

int write_to(const std::string& path, const std::string& text) {
  const auto file = sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  const Status written = file ? sys::write_all(*file, text) : std::unexpected(file.error());
  return written ? kOk : complain(path + ": " + reason(written.error()));
}

int write_out(const Arguments& arguments, const std::string& text) {
  if (arguments.has("--out")) return write_to(arguments.get("--out"), text);
  return print(text) ? kOk : kUnusable;
}

// Behind the entry what its `sealed.h` commits to, with the salt: that shows the fields of this one entry, and
// tells nothing of the key or of any other.
int disclose(const Fd& log, InclusionProof& proof) {
  KeyReader keys(log);
  const std::string which = "entry " + std::to_string(proof.index);
  if (proof.extra->find(R"("sealed":{)") == std::string::npos) {
    return complain(which + " has no sealed fields: without --open its proof shows all of it");
  }
  const auto plaintext = open_sealed_text(*proof.extra, keys);
  if (!plaintext) {
    return complain(which + " cannot be opened: its fields are " + std::string(why_sealed(*proof.extra, keys)));
  }
  *proof.extra += "\n" + *plaintext;
  return kOk;
}

int prove_entry(const Arguments& arguments, const Fd& log, const Published& tree) {
  const auto index = number(arguments.operands.front());
  if (!index) return complain("prove needs the entry's number; see `oqto-audit prove --help`");
  if (*index >= tree.checkpoint.size) {
    return complain("entry " + std::to_string(*index) + " is not in the checkpoint, which is of " +
                    std::to_string(tree.checkpoint.size) + " entries");
  }
  auto proof = make_inclusion(log, tree, *index);
  if (!proof) return proof_failed(log_dir(arguments), proof.error());
  if (const int status = arguments.has("--open") ? disclose(log, *proof) : kOk; status != kOk) return status;
  return write_out(arguments, write_inclusion(*proof));
}

int prove_continuation(const Arguments& arguments, const Fd& log, const Published& tree,
                       const Pinned& pinned) {
  const std::string path = arguments.get("--consistency");
  const auto note = read_file(path, kMaxNoteFile);
  if (!note) return complain("the older checkpoint " + path + ": " + reason(note.error()));
  const auto old = pinned.verify_by_log(*note);
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
  if (const auto in_epoch = pinned.verify(*note); !in_epoch) {
    return unproven("the older checkpoint " + path + ": " + in_epoch.error().what);
  }
  return write_out(arguments, write_consistency(*proof));
}

int prove(const Arguments& arguments) {
  const bool consistency = arguments.has("--consistency");
  if (consistency == (arguments.operands.size() == 1)) {
    return complain("prove needs INDEX or --consistency; see `oqto-audit prove --help`");
  }
  auto pinned = Pinned::read(arguments);
  if (!pinned) return kUnusable;
  const std::string path = log_dir(arguments);
  const auto log = sys::open_dir(path.c_str());
  if (!log) return complain("the log " + path + ": " + reason(log.error()));
  std::optional<std::string> note;
  if (arguments.has("--cosigned")) {
    auto text = read_file(arguments.get("--cosigned"), kMaxNoteFile);
    if (!text) return complain(arguments.get("--cosigned") + ": " + reason(text.error()));
    note = std::move(*text);
  }
  int status = kOk;
  const auto believed =
      believe(*log, path, std::move(note), arguments.has("--seals"), *pinned, status);
  if (!believed) return status;
  if (arguments.has("--seals")) {
    status = write_to(arguments.get("--seals"), write_seals(*believed->seals));
    if (status != kOk) return status;
  }
  return consistency ? prove_continuation(arguments, *log, believed->tree, *pinned)
                     : prove_entry(arguments, *log, believed->tree);
}

}  // namespace

Command prove_command() {
  return {
      .name = "prove",
      .operands = "[INDEX]",
      .max_operands = 1,
      .summary =
          "Makes a proof that entry INDEX is in the log, or that the log continues an "
          "older checkpoint.",
      .details =
          "A proof of an entry (C2SP tlog-proof) holds the entry, its path in the tree and the\n"
          "checkpoint: who has it and the public key needs nothing else. With --seals, who has\n"
          "both lines of log.vkey can check its epoch's signature too, and that the proof is of\n"
          "this log although its key was rotated.",
      .options = {log_option(),
                  vkey_option(),
                  {"--consistency", "FILE", "an older checkpoint file"},
                  {"--cosigned", "FILE", "prove with this checkpoint, which has cosignatures"},
                  {"--seals", "FILE",
                   "write the log's seals there, which lead to the same checkpoint"},
                  {"--open", "",
                   "disclose the entry's personal fields to whoever gets the proof, with the salt of\n"
                   "their commitment: needs keys/ in the log directory, and gives no key away.\n"
                   "What is in blobs stays sealed"},
                  {"--out", "FILE", "where to write (default: to standard output)"}},
      .run = prove};
}

}  // namespace oqto::audit::cli
