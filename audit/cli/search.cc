#include "audit/cli/cli.h"
#include "audit/cli/read.h"

namespace oqto::audit::cli {
namespace {

int search(const Arguments& arguments) {
  const auto query = read_query(arguments);
  if (!query) return kUnusable;
  const bool json = arguments.has("--json");
  std::uint64_t found = 0;
  const int status = visit_entries(
      log_dir(arguments), *query,
      [&](const SeenEntry& seen) { return print(shown(seen.opened, json)); }, found);
  if (status != kOk) return status;
  return found > 0 ? kOk : kFindings;
}

}  // namespace

Command search_command() {
  return {
      .name = "search",
      .summary = "Shows the entries that fit all the given options, oldest first.",
      .details = "Exit status: 0 something was found, 1 nothing, 2 not readable or wrong usage.\n"
                 "Signatures are not checked here: that is `oqto-audit verify`.",
      .options = joined({log_option()},
                        joined(filter_options(),
                               std::vector<Option>{
                                   {"--limit", "N", "stop after N entries"},
                                   {"--json", "", "the entries, opened where the log has their keys, one per line"}})),
      .run = search};
}

}  // namespace oqto::audit::cli
