#include "audit/cli.h"
#include "audit/cli_read.h"
#include "audit/entry_view.h"
#include "audit/hash.h"
#include "base/encoding.h"

namespace oqto::audit::cli {
namespace {

int show(const Arguments& arguments) {
  Arguments as_range;
  as_range.add("--range", arguments.operands.front());
  const auto query = read_query(as_range);
  if (!query) return kUnusable;
  const bool json = arguments.has("--json");
  std::uint64_t found = 0;
  const int status = visit_entries(
      log_dir(arguments), *query,
      [&](std::uint64_t index, std::string_view entry) {
        if (json) return print(entry_json(entry) + "\n");
        return print((index == query->first ? "" : "\n") + entry_page(entry) +
                     "leaf hash               " + to_hex(leaf_hash(entry)) + "\n");
      },
      found);
  if (status != kOk || found > 0) return status;
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
          .options = {log_option(), {"--json", "", "the entries themselves, one per line"}},
          .run = show};
}

}  // namespace oqto::audit::cli
