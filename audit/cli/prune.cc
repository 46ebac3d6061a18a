#include "audit/cli/cli.h"
#include "audit/cli/read.h"
#include "audit/format/time_text.h"
#include "audit/read/pruning.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

// The entry that --before names: a number, or the first one of a time or later.
std::optional<std::uint64_t> wanted_index(const std::string& log, const std::string& before) {
  if (const auto index = number(before)) return index;
  const auto time = parse_time(before, sys::now_ms());
  if (!time) {
    (void)complain("--before needs the number of an entry, or a time as 2026-01-31 or -90d");
    return std::nullopt;
  }
  Query query;
  query.from_ms = *time;
  query.limit = 1;
  std::optional<std::uint64_t> index;
  Searched searched;
  const int status = visit_entries(
      log, query,
      [&](const SeenEntry& seen) {
        index = seen.index;
        return false;
      },
      searched);
  if (status == kOk && !index) (void)complain("no entry is as young as " + before);
  return status == kOk ? index : std::nullopt;
}

std::string report(const Pruned& pruned, bool json) {
  if (json) {
    return R"({"minimum_index":)" + std::to_string(pruned.minimum) + R"(,"segments":)" +
           std::to_string(pruned.segments) + R"(,"bundles":)" + std::to_string(pruned.bundles) +
           R"(,"blobs":)" + std::to_string(pruned.blobs) + R"(,"bytes":)" + std::to_string(pruned.bytes) + "}\n";
  }
  return "moved: " + std::to_string(pruned.segments) + " segments, " + std::to_string(pruned.bundles) +
         " entry bundles, " + std::to_string(pruned.blobs) + " blobs, " + std::to_string(pruned.bytes) +
         " B\n    The log begins with entry " + std::to_string(pruned.minimum) + " now.\n";
}

int prune(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  const std::string archive = arguments.get("--archive");
  if (archive.empty()) return complain("--archive needs a directory");
  const auto permitted = permitted_minimum(log);
  if (!permitted) return complain("the log " + log + ": " + reason(permitted.error()));
  std::uint64_t minimum = *permitted;
  if (arguments.has("--before")) {
    const auto wanted = wanted_index(log, arguments.get("--before"));
    if (!wanted) return kUnusable;
    if (*wanted > *permitted) {
      return complain("the log permits to prune only before entry " + std::to_string(*permitted) +
                      "; first `oqtoctl audit prune " + std::to_string(*wanted) +
                      "`: an auditor could not tell it from a theft");
    }
    minimum = *wanted;
  }
  if (minimum == 0) return complain("the log permits nothing to be pruned; first `oqtoctl audit prune INDEX`");
  auto pruned = prune_to(log, archive, minimum);
  if (!pruned) return complain(reason(pruned.error()));
  const auto blobs = collect_blobs(log, archive);
  if (!blobs) return complain("the blobs: " + reason(blobs.error()));
  pruned->blobs = blobs->blobs;
  pruned->bytes += blobs->bytes;
  return print(report(*pruned, arguments.has("--json"))) ? kOk : kUnusable;
}

int collect(const Arguments& arguments) {
  const auto blobs = collect_blobs(log_dir(arguments), {});
  if (!blobs) return complain("the blobs: " + reason(blobs.error()));
  const std::string count = std::to_string(blobs->blobs);
  const std::string bytes = std::to_string(blobs->bytes);
  return print(arguments.has("--json") ? R"({"blobs":)" + count + R"(,"bytes":)" + bytes + "}\n"
                                       : "removed: " + count + " blobs that no entry names, " + bytes + " B\n")
             ? kOk
             : kUnusable;
}

}  // namespace

Command prune_command() {
  return {.name = "prune",
          .summary = "Moves the oldest part of a log to an archive, as far as the log itself permits it.\n"
                     "Whole segments and entry bundles, and the blobs that only they name. Hash tiles stay.",
          .details = "Run as the user of the log, with oqto-auditd running or not, after `oqtoctl audit prune\n"
                     "INDEX`, by which the log says that what is before may go. `verify` accepts what is left\n"
                     "because of that entry. Copied beside each other, both are the whole log again, which verifies.",
          .options = {log_option(),
                      {"--archive", "DIR", "where to; made if it is not there"},
                      {"--before", "INDEX|TIME", "less than the log permits"},
                      json_option()},
          .run = prune};
}

Command collect_command() {
  return {.name = "gc",
          .summary = "Removes blobs that no entry names, as a crash between the two leaves them.",
          .options = {log_option(), json_option()},
          .run = collect};
}

}  // namespace oqto::audit::cli
