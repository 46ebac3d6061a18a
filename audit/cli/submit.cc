// oqto-audit witness submit
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/cli/pinned.h"
#include "audit/format/time_text.h"
#include "audit/format/tree.h"
#include "audit/witness/witness_client.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

constexpr std::string_view kDefaultOut = "checkpoint.cosigned";
constexpr std::uint64_t kMaxAheadSeconds = 600;  // of a witness's clock before ours

// The auditor's own file: the newest checkpoint, with the cosignatures it has.
struct Cosigned {
  std::string path;
  std::string note;  // empty: none yet
  Checkpoint checkpoint;
};

struct Submission {
  const Fd& log;
  const Pinned& pinned;
  Published tree;
  Cosigned kept;
};

int contradiction(const std::string& what, const std::string& one, const std::string& other) {
  (void)print("The log is no continuation of what it signed before. Both notes, as evidence:\n\n" +
              quoted_note(one) + "\n" + quoted_note(other));
  (void)complain(what);
  return kFindings;
}

// Errc::io: the file cannot be written.
Status write_atomically(const std::string& path, const std::string& text) {
  const std::string aside = path + ".new";
  {
    const Fd file = TRY(sys::open_file(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    TRY(sys::write_all(file, text));
    if (::fdatasync(file.get()) != 0) return fail_errno("fdatasync");
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) return fail_errno("rename");
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == path.npos ? "." : path.substr(0, slash + 1);
  const Fd dir = TRY(sys::open_dir(parent.c_str()));
  if (::fsync(dir.get()) != 0) return fail_errno("fsync");
  return {};
}

// What is kept must be of this log, and the log its continuation.
int check_kept(Submission& submission) {
  Cosigned& kept = submission.kept;
  if (::access(kept.path.c_str(), F_OK) != 0) return kOk;
  auto note = read_file(kept.path, kMaxNoteFile);
  const auto checkpoint = note ? submission.pinned.verify_by_log(*note)
                               : Result<Checkpoint>(std::unexpected(note.error()));
  if (!checkpoint) return complain(kept.path + ": " + reason(checkpoint.error()));
  kept.note = std::move(*note);
  kept.checkpoint = *checkpoint;
  const Checkpoint& now = submission.tree.checkpoint;
  if (kept.checkpoint.size > now.size) {
    return contradiction("the log has " + std::to_string(now.size) + " entries, fewer than the " +
                             std::to_string(kept.checkpoint.size) + " of " + kept.path,
                         kept.note, submission.tree.note);
  }
  const auto proof = make_consistency(submission.log, submission.tree, kept.checkpoint.size);
  if (!proof) return complain("the log: " + reason(proof.error()));
  if (verify_prefix(kept.checkpoint.size, kept.checkpoint.root, now.size, now.root,
                    proof->hashes)) {
    const auto in_epoch = submission.pinned.verify(kept.note);
    return in_epoch ? kOk : unproven(kept.path + ": " + in_epoch.error().what);
  }
  return contradiction("the log is another one than " + kept.path + " says", kept.note,
                       submission.tree.note);
}

// The note to which lines are added: the kept one if it is of the same tree.
std::string note_to_extend(const Submission& submission, const VerifierKey& witness) {
  const auto kept = read_note(submission.kept.note);
  const auto fresh = read_note(submission.tree.note);
  if (!kept || kept->body != fresh->body) return submission.tree.note;
  std::string note = std::string(kept->body) + "\n";
  for (const NoteSignature& signature : kept->signatures) {
    if (!signature.is_by(witness)) note += signature.line;
  }
  return note;
}

// The witness's line out of its answer, checked.
int add_cosignature(Submission& submission, const VerifierKey& witness, std::string_view lines) {
  const std::string note = note_to_extend(submission, witness);
  while (!lines.empty()) {
    const std::size_t length = std::min(lines.find('\n'), lines.size() - 1) + 1;
    const std::string line(lines.substr(0, length));
    lines.remove_prefix(length);
    const auto signature = read_signature_line(line);
    if (!signature || !signature->is_by(witness)) continue;
    const auto time = verify_cosignature(note + line, witness);
    if (!time) return complain("witness " + witness.name + ": " + time.error().what);
    if (*time > sys::now_ms() / 1000 + kMaxAheadSeconds) {
      return complain("witness " + witness.name + " signs for the future: " +
                      utc_text(*time * 1000));
    }
    if (const Status written = write_atomically(submission.kept.path, note + line); !written) {
      return complain(submission.kept.path + ": " + reason(written.error()));
    }
    submission.kept.note = note + line;
    submission.kept.checkpoint = submission.tree.checkpoint;
    (void)print("witness " + witness.name + " cosigned " +
                std::to_string(submission.tree.checkpoint.size) + " entries at " +
                utc_text(*time * 1000) + ": " + submission.kept.path + "\n");
    return kOk;
  }
  return complain("the answer has no line of witness " + witness.name);
}

// One note is never two pieces of evidence: what contradicts this log's is the note that the witness cosigned,
// which it shows to monitors.
int refused(const Submission& submission, const VerifierKey& witness, const WitnessUrl& url,
            const std::string& what) {
  const std::string who = "witness " + witness.name;
  const Published& tree = submission.tree;
  const auto shown = get_from_witness(url, tree.checkpoint.origin);
  const bool has_note = shown && shown->status == 200 && verify_cosignature(shown->body, witness);
  const auto seen = has_note ? submission.pinned.verify_by_log(shown->body) : Result<Checkpoint>(fail(Errc::not_found, ""));
  if (has_note && !seen) {
    return complain(who + " " + what + ", but what it cosigned is not signed by this log: it knows another log "
                    "that is called " + tree.checkpoint.origin);
  }
  if (seen && *seen != tree.checkpoint) return contradiction(who + " " + what, shown->body, tree.note);
  (void)print("The log is no continuation of what the witness saw, as that says. This log's note; the other one has "
              "the\nwitness's operator:\n\n" + quoted_note(tree.note));
  return unproven(who + " " + what);
}

int not_taken(const Submission& submission, const VerifierKey& witness, const WitnessUrl& url,
              const HttpResponse& response) {
  const auto seen = number(first_line(response.body));
  const std::uint64_t size = submission.tree.checkpoint.size;
  if (response.status == 422 || (response.status == 409 && seen && *seen == size)) {
    return refused(submission, witness, url, "refuses: the log is no continuation of what it saw");
  }
  if (response.status == 409 && seen && *seen > size) {
    return refused(submission, witness, url,
                   "has seen " + std::to_string(*seen) + " entries, this log has " + std::to_string(size) +
                       ": it was cut back, or is an older copy");
  }
  return complain("witness " + witness.name + " answers " + std::to_string(response.status) + ": " +
                  std::string(first_line(response.body)).substr(0, 200));
}

int submit_to(Submission& submission, const std::string& address, const VerifierKey& witness) {
  const auto url = parse_witness_url(address);
  if (!url) return complain(address + ": " + url.error().what);
  std::uint64_t old_size =
      verify_cosignature(submission.kept.note, witness) ? submission.kept.checkpoint.size : 0;
  for (bool is_second = false;; is_second = true) {
    const auto proof = make_consistency(submission.log, submission.tree, old_size);
    if (!proof) return complain("the log: " + reason(proof.error()));
    const auto response = post_to_witness(*url, write_consistency(*proof));
    if (!response) return complain(address + ": " + reason(response.error()));
    if (response->status == 200) return add_cosignature(submission, witness, response->body);
    const auto seen = number(first_line(response->body));
    const bool may_retry = !is_second && response->status == 409 && seen && *seen != old_size &&
                           *seen <= submission.tree.checkpoint.size;
    if (!may_retry) return not_taken(submission, witness, *url, *response);
    old_size = *seen;
  }
}

int submit(const Arguments& arguments) {
  const auto urls = arguments.all("--url");
  auto pinned = Pinned::read(arguments);
  const auto witnesses = pinned ? witness_keys(arguments) : std::nullopt;
  if (!witnesses) return kUnusable;
  if (urls.empty() || urls.size() != witnesses->size()) {
    return complain("each witness needs --url and --witness, in the same order");
  }
  const std::string path = log_dir(arguments);
  const auto log = sys::open_dir(path.c_str());
  if (!log) return complain("the log " + path + ": " + reason(log.error()));
  int status = kOk;
  auto believed = believe(*log, path, std::nullopt, false, *pinned, status);
  if (!believed) return status;
  Submission submission{*log, *pinned, std::move(believed->tree), {}};
  submission.kept.path = arguments.get("--out", kDefaultOut);
  if (status = check_kept(submission); status != kOk) return status;
  int worst = kOk;
  for (std::size_t i = 0; i < urls.size(); ++i) {
    status = submit_to(submission, urls[i], (*witnesses)[i]);
    if (worst == kOk || status == kFindings) worst = status == kOk ? worst : status;
  }
  return worst;
}

}  // namespace

Command witness_submit_command() {
  return {.name = "witness submit",
          .summary = "Gets a log's checkpoint cosigned by witnesses, and keeps it with their "
                     "signatures.",
          .details =
              "The file is yours: keep it apart from the log. `oqto-audit verify --witness` demands\n"
              "it, and the next submission checks that the log continues it.\n"
              "Exit status: 0 cosigned by all, 1 the log contradicts what was signed before (both\n"
              "notes are printed), 2 not reachable, not readable or wrong usage.",
          .options = {{"--url", "URL", "the witness's submission prefix, http://host[:port][/prefix]"},
                      {"--witness", "FILE",
                       "its public key; each pair of --url and --witness may be repeated"},
                      log_option(),
                      vkey_option(),
                      {"--out", "FILE",
                       "where the cosigned checkpoint is kept (default: checkpoint.cosigned in\n"
                       "this directory)"}},
          .run = submit};
}

}  // namespace oqto::audit::cli
