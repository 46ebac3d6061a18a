#include <sys/file.h>

#include "audit/cli/cli.h"
#include "audit/format/json.h"
#include "audit/format/tenant_keys.h"
#include "base/sys.h"

namespace oqto::audit::cli {
namespace {

int shred(const Arguments& arguments) {
  const std::string path = log_dir(arguments);
  const auto tenant = number(arguments.get("--tenant"));
  const std::string day = arguments.get("--day");
  if (!tenant || *tenant == 0 || *tenant > ~std::uint32_t{0}) {
    return complain("--tenant needs an account number, as the entries have it");
  }
  if (!is_day(day)) return complain("--day needs a day (UTC), as 2026-01-31");
  const auto log = sys::open_dir(path.c_str());
  if (!log) return complain("the log " + path + ": " + reason(log.error()));
  // A writer that has the key in its memory would go on sealing with it, and the log would not say why.
  if (::flock(log->get(), LOCK_EX | LOCK_NB) != 0) {
    return complain("the log " + path + " is in use by oqto-auditd; on the live host run `oqtoctl "
                    "audit erase " + std::to_string(*tenant) + " " + day + "`, which is recorded");
  }
  const Status done = destroy_key(*log, static_cast<std::uint32_t>(*tenant), day);
  if (!done) {
    (void)complain(reason(done.error()));
    return done.error().code == Errc::not_found ? kFindings : kUnusable;
  }
  if (arguments.has("--json")) {
    return print(R"({"erased":true,"recorded":false,"tenant":)" + std::to_string(*tenant) +
                 R"(,"day":")" + day + "\"}\n")
               ? kOk
               : kUnusable;
  }
  return print("erased: personal fields and blobs of tenant " + std::to_string(*tenant) + " of " + day +
               "\n    All hashes and proofs stay as they are. Other copies of the log have their own\n"
               "    keys/, and no entry of this log says that it was done: on the live host use\n"
               "    `oqtoctl audit erase`, which is recorded.\n")
             ? kOk
             : kUnusable;
}

}  // namespace

Command shred_command() {
  return {.name = "shred",
          .summary = "Destroys the key of one tenant's day in a log directory: its personal fields\n"
                     "(arguments, paths, hosts, addresses) and blobs can never be read again.",
          .details = "Offline, on a copy or with the daemon stopped. No entry tells of it: `oqto-audit verify` of\n"
                     "such a log names the key as destroyed, which is a defect. A copy that is made after\n"
                     "`oqtoctl audit erase` has its entry, and not the key. Exit status: 0 done, 1 there is no\n"
                     "such key, 2 wrong usage, or the log is in use.",
          .options = {log_option(),
                      {"--tenant", "ACCOUNT", "the account number"},
                      {"--day", "DAY", "the day (UTC), as 2026-01-31"},
                      json_option()},
          .run = shred};
}

}  // namespace oqto::audit::cli
