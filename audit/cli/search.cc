#include "audit/cli/cli.h"
#include "audit/cli/read.h"

namespace oqto::audit::cli {
namespace {

int search(const Arguments& arguments) {
  const auto query = read_query(arguments);
  if (!query) return kUnusable;
  const bool json = arguments.has("--json");
  Searched searched;
  const int status = visit_entries(
      log_dir(arguments), *query,
      [&](const SeenEntry& seen) { return print(shown(seen.opened, json, seen.related)); }, searched);
  if (status != kOk || searched.found > 0) return status;
  return query->limit == 0 ? kFindings : nothing_found(*query, searched);
}

}  // namespace

Command search_command() {
  return {
      .name = "search",
      .summary = "Shows the entries that fit all the given options, oldest first.",
      .details = "An outcome fits if its intent does: `--session ID --event command` finds both. A user's name\n"
                 "stands for his account and the account for its name, as far as the log has the two side\n"
                 "by side.\n"
                 "Exit status: 0 something was found, 1 nothing (stderr says among what), 2 not readable or\n"
                 "wrong usage.\n"
                 "Signatures are not checked here: that is `oqto-audit verify`.",
      .options = joined({log_option()},
                        joined(filter_options(),
                               std::vector<Option>{
                                   {"--limit", "N", "stop after N entries"},
                                   {"--json", "", "the entries, opened where the log has their keys, one per line"}})),
      .run = search};
}

}  // namespace oqto::audit::cli
