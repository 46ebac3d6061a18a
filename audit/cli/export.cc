#include <functional>

#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/format.h"
#include "audit/format/hash.h"
#include "audit/read/entry_view.h"
#include "audit/read/export.h"

namespace oqto::audit::cli {
namespace {

// The first line of the checkpoint: which log it is.
std::string name_of_log(const std::string& log) {
  const auto note = read_file(log + "/" + kCheckpointFile, kMaxNoteFile);
  return note ? std::string(first_line(*note)) : std::string();
}

using Speller = std::function<std::string(std::uint64_t index, std::string_view entry)>;

Speller speller_of(std::string_view format, const std::string& log) {
  if (format == "jsonl") return [](std::uint64_t, std::string_view entry) { return entry_json(entry); };
  if (format == "cef") return to_cef;
  if (format != "ocsf") return nullptr;
  return [from = OcsfSource{name_of_log(log)}](std::uint64_t index, std::string_view entry) {
    return to_ocsf(index, entry, from);
  };
}

int export_entries(const Arguments& arguments) {
  const std::string format = arguments.get("--format", "jsonl");
  const Speller spell = speller_of(format, log_dir(arguments));
  if (spell == nullptr) return complain("--format is jsonl, ocsf or cef");
  const auto query = read_query(arguments);
  if (!query) return kUnusable;
  const bool with_personal = arguments.has("--personal");
  if (with_personal && format == "jsonl") {
    return complain("--personal is for ocsf and cef: jsonl is the entries' own bytes");
  }
  Searched searched;
  const int status = visit_entries(
      log_dir(arguments), *query,
      [&](const SeenEntry& seen) {
        return print(spell(seen.index, with_personal ? seen.opened : seen.entry) + "\n");
      },
      searched);
  // For the pipe that takes it an empty export is none the worse; a person is told.
  if (status == kOk && searched.found == 0 && query->limit > 0) (void)nothing_found(*query, searched);
  return status;
}

}  // namespace

Command export_command() {
  return {.name = "export",
          .summary = "Writes entries for other systems, one per line, oldest first.",
          .details =
              "jsonl is the entries' own bytes: the SHA-256 of a zero byte and the line without its\n"
              "end is the entry's leaf hash. What is no entry of this program is kept as\n"
              "{\"malformed\":...}.\n"
              "Exit status: 0 written, also if nothing fits (stderr says so); 2 not readable or wrong\n"
              "usage.",
          .options = joined(
              {log_option(),
               {"--personal", "",
                "with the personal fields whose keys the log has. What has left cannot be\n"
                "erased with `oqto-audit shred` any more"},
               {"--format", "FORMAT",
                "jsonl (the entries themselves, default), ocsf (OCSF 1.8 events) or cef\n"
                "(ArcSight Common Event Format)"}},
              joined(filter_options(),
                     std::vector<Option>{{"--limit", "N", "stop after N entries"}})),
          .run = export_entries};
}

}  // namespace oqto::audit::cli
