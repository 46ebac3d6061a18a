#include <unistd.h>

#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/format.h"
#include "audit/format/hash.h"
#include "audit/format/json.h"
#include "audit/read/entry_view.h"
#include "base/encoding.h"

namespace oqto::audit::cli {
namespace {

// The content goes out as it is when nobody's terminal gets it, else escaped.
int show_blob(const Arguments& arguments, std::string_view entry) {
  const auto blobs = blobs_of(entry);
  if (blobs.empty()) return complain("this entry names no blob");
  const std::string wanted = arguments.get("--field");
  const auto opener = Opener::create(log_dir(arguments));
  if (!opener) return complain(reason(opener.error()));
  for (const BlobReference& blob : blobs) {
    if (!wanted.empty() && blob.field != wanted && blob.field != wanted + "_blob") continue;
    const OpenedBlob opened = open_stored_blob((*opener)->log(), blob, (*opener)->keys());
    if (opened.state != BlobState::opened) {
      (void)complain(blob_path(blob.sha256) + " " + std::string(blob_state_text(opened.state)));
      return kFindings;
    }
    if (::isatty(STDOUT_FILENO) == 0) return print(opened.content) ? kOk : kUnusable;
    return print(printable(opened.content) + "\n") ? kOk : kUnusable;
  }
  return complain("this entry names no blob as " + wanted);
}

int show(const Arguments& arguments) {
  Arguments as_range;
  as_range.add("--range", arguments.operands.front());
  const auto query = read_query(as_range);
  if (!query) return kUnusable;
  const bool json = arguments.has("--json");
  Searched searched;
  if (arguments.has("--blob")) {
    std::string text;
    const int read = visit_entries(
        log_dir(arguments), *query,
        [&](const SeenEntry& seen) {
          text = seen.entry;
          return false;
        },
        searched);
    if (read != kOk || !text.empty()) return read != kOk ? read : show_blob(arguments, text);
  }
  const int status = visit_entries(
      log_dir(arguments), *query,
      [&](const SeenEntry& seen) {
        if (json) return print(entry_json(seen.entry) + "\n");
        return print((seen.index == query->first ? "" : "\n") + entry_page(seen.opened) +
                     "leaf hash               " + to_hex(leaf_hash(seen.entry)) + "\n");
      },
      searched);
  if (status != kOk || searched.found > 0) return status;
  auto reader = LogReader::open(log_dir(arguments));
  const auto count = reader ? reader->count() : Result<std::uint64_t>(0);
  return complain("there is no entry " + std::to_string(query->first) + ": the log has " +
                  std::to_string(count.value_or(0)) + " entries");
}

}  // namespace

Command show_command() {
  return {.name = "show",
          .operands = "INDEX|A..B",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Shows one entry in full, or several, each with its leaf hash in the tree.",
          .details = "Signatures are not checked here: `oqto-audit prove INDEX` makes a proof.",
          .options = {log_option(), {"--blob", "",
                       "what the first entry's blob holds, instead of the entry; escaped if it\n"
                       "goes to a terminal"},
                      {"--field", "NAME", "with --blob: of this field, if there are several"},
                      {"--json", "", "the entries themselves, with what is sealed, one per line"}},
          .run = show};
}

}  // namespace oqto::audit::cli
