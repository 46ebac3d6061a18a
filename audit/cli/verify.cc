#include <sys/stat.h>

#include "audit/cli/cli.h"
#include "audit/format/json.h"
#include "audit/verify/verify.h"
#include "base/encoding.h"

namespace oqto::audit::cli {
namespace {

constexpr std::string_view kDefaultCosigned = "checkpoint.cosigned";

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

std::string report_text(const Report& report, const VerifierKey& key) {
  std::string text;
  for (const Finding& finding : report.findings) text += finding.where + ": " + finding.what + "\n";
  for (const Finding& file : report.not_checked) text += "not checked: " + file.where + " " + file.what + "\n";
  if (report.defects > report.findings.size()) {
    text += "and " + std::to_string(report.defects - report.findings.size()) + " more\n";
  }
  for (const std::string& remark : report.remarks) text += "note: " + remark + "\n";
  if (!report.evidence.empty()) {
    text += "The log signed two trees of one size. These two notes together are the proof:\n";
    for (const std::string& note : report.evidence) text += "\n" + quoted_note(note);
    text += "\n";
  }
  std::string what = counted(report.entries, "entry", "entries") + " in " +
                     counted(report.batches, "signed batch", "signed batches") + ", " +
                     counted(report.files, "file", "files");
  if (report.not_read > 0) what += "; the first " + std::to_string(report.not_read) + " by hash only";
  if (report.defects > 0) {
    return text + "FAILED: " + counted(report.defects, "defect", "defects") + "; " + what + "\n";
  }
  if (report.unreadable > 0) {
    return text + "NOT CHECKED: " + counted(report.unreadable, "file", "files") +
           " could not be read here; no defect in the rest: " + what + "\n";
  }
  return text + "ok: " + what + "\n    log " + key.name + ", checkpoint at " +
         std::to_string(report.checkpoint->size) + " entries, root " +
         to_hex(report.checkpoint->root) + "\n";
}

void append_findings(std::string& text, std::string_view name, const std::vector<Finding>& findings) {
  text += ",\"" + std::string(name) + "\":[";
  for (const Finding& finding : findings) {
    if (&finding != &findings.front()) text += ",";
    text += R"({"where":)";
    append_json(text, finding.where);
    if (finding.entry) text += R"(,"entry":)" + std::to_string(*finding.entry);
    text += R"(,"what":)";
    append_json(text, finding.what);
    text += "}";
  }
  text += "]";
}

void append_list(std::string& text, std::string_view name, const std::vector<std::string>& list) {
  text += ",\"" + std::string(name) + "\":[";
  for (const std::string& item : list) {
    if (&item != &list.front()) text += ",";
    append_json(text, item);
  }
  text += "]";
}

std::string report_json(const Report& report, const VerifierKey& key) {
  std::string text = R"({"ok":)" + std::string(report.is_clean() ? "true" : "false");
  text += R"(,"log":)";
  append_json(text, key.name);
  text += R"(,"entries":)" + std::to_string(report.entries);
  text += R"(,"by_hash_only":)" + std::to_string(report.not_read);
  text += R"(,"batches":)" + std::to_string(report.batches);
  text += R"(,"files":)" + std::to_string(report.files);
  if (report.checkpoint) {
    text += R"(,"checkpoint":{"size":)" + std::to_string(report.checkpoint->size) + R"(,"root":")" +
            to_hex(report.checkpoint->root) + "\"}";
  }
  if (report.newest_ms != 0) text += R"(,"newest_ms":)" + std::to_string(report.newest_ms);
  text += R"(,"defects":)" + std::to_string(report.defects);
  append_findings(text, "findings", report.findings);
  text += R"(,"unreadable":)" + std::to_string(report.unreadable);
  append_findings(text, "not_checked", report.not_checked);
  append_list(text, "remarks", report.remarks);
  append_list(text, "evidence", report.evidence);
  return text + "}\n";
}

// A checkpoint that the auditor kept must at least be one of this log. By which key, the verification knows: it may
// have been an earlier one of the log.
std::optional<std::string> read_kept(const std::string& path, const VerifierKey& key) {
  auto text = read_file(path, kMaxNoteFile);
  auto checked = text ? verify_checkpoint(*text, key)
                      : Result<Checkpoint>(std::unexpected(text.error()));
  const auto claimed = text ? read_checkpoint(*text) : std::nullopt;
  if (!checked && claimed && claimed->origin == key.name) checked = *claimed;
  if (checked) return std::move(*text);
  (void)complain("the kept checkpoint " + path + ": " + reason(checked.error()));
  return std::nullopt;
}

int verify(const Arguments& arguments) {
  const auto key = log_key(arguments);
  auto witnesses = key ? witness_keys(arguments) : std::nullopt;
  if (!witnesses) return kUnusable;
  VerifyOptions options;
  options.first_epoch = first_epoch_key(arguments);
  options.witnesses = std::move(*witnesses);
  for (const std::string& path : arguments.all("--known")) {
    auto note = read_kept(path, *key);
    if (!note) return kUnusable;
    options.known.push_back(std::move(*note));
  }
  if (arguments.has("--since") && !(options.since = read_kept(arguments.get("--since"), *key))) return kUnusable;
  if (arguments.has("--cosigned") || !options.witnesses.empty()) {
    const std::string path = arguments.get("--cosigned", kDefaultCosigned);
    auto note = read_file(path, kMaxNoteFile);
    if (!note) return complain("the cosigned checkpoint " + path + ": " + reason(note.error()));
    options.cosigned = std::move(*note);
  }
  if (arguments.has("--threads")) {
    const auto threads = number(arguments.get("--threads"));
    if (!threads || *threads == 0 || *threads > 256) return complain("--threads needs a number");
    options.threads = static_cast<unsigned>(*threads);
  }
  const std::string log = log_dir(arguments);
  const auto report = verify_log(log, *key, options);
  if (!report) return complain("the log " + log + ": " + reason(report.error()));
  (void)print(arguments.has("--json") ? report_json(*report, *key) : report_text(*report, *key));
  return report->defects > 0 ? kFindings : report->unreadable > 0 ? kUnusable : kOk;
}

}  // namespace

Command verify_command() {
  return {
      .name = "verify",
      .summary = "Checks every byte of a log directory against the public key.\n"
                 "Segments, entry bundles, hash tiles, every signed checkpoint: one line per defect.",
      .details =
          "A log in use may be checked as it is, or copied first: `oqto-audit copy DIR` does that in the\n"
          "order in which one part needs the other.\n"
          "Remarks (\"note:\") are no defects: the second line of log.vkey is not given, time goes back,\n"
          "the checkpoint or the whole log is old, personal fields cannot be opened as keys/ is not\n"
          "here or an entry says that a key was erased. A key that is gone or another one without\n"
          "such an entry is a defect.\n"
          "Exit status: 0 no defect; 1 defects; 2 could not be checked: a file (\"not checked:\"), the\n"
          "log or a key cannot be read, or wrong usage. 1 comes before 2.",
      .options = {log_option(),
                  vkey_option(),
                  {"--since", "FILE",
                   "a `checkpoint` file that you kept: the log must be its continuation, and\n"
                   "what it covers is not read again unless something is wrong"},
                  {"--known", "FILE", "the same, but everything is read; may be given several times"},
                  witness_option(),
                  {"--cosigned", "FILE",
                   "where the cosignatures are (default: checkpoint.cosigned in this\n"
                   "directory, as `oqto-audit witness submit` makes it)"},
                  {"--threads", "N", "how many processors to use (default: all)"},
                  {"--json", "", "one JSON object instead of text"}},
      .run = verify};
}

}  // namespace oqto::audit::cli
