#include "audit/cli/cli.h"
#include "audit/read/copying.h"

namespace oqto::audit::cli {
namespace {

int copy(const Arguments& arguments) {
  const std::string log = log_dir(arguments);
  const std::string& to = arguments.operands.front();
  const auto copied = copy_log(log, to, arguments.has("--keys"));
  if (!copied) return complain("the log " + log + " cannot be copied to " + to + ": " + reason(copied.error()));
  if (arguments.has("--json")) {
    return print(R"({"files":)" + std::to_string(copied->files) + R"(,"bytes":)" + std::to_string(copied->bytes) +
                 "}\n")
               ? kOk
               : kUnusable;
  }
  return print("copied " + std::to_string(copied->files) + " files, " + std::to_string(copied->bytes) +
               " bytes. Now: oqto-audit verify --log " + to + " --vkey FILE\n")
             ? kOk
             : kUnusable;
}

}  // namespace

Command copy_command() {
  return {.name = "copy",
          .operands = "DIR",
          .min_operands = 1,
          .max_operands = 1,
          .summary = "Copies a log, also one in use, into an empty or new directory, so that the copy verifies.",
          .details = "The public key is not copied: keep it apart. Exit status: 0 copied, 2 not.",
          .options = {log_option(),
                      {"--keys", "",
                       "with the tenants' keys: who has them can read personal fields and blobs. Without\n"
                       "them the copy verifies as well"},
                      json_option()},
          .run = copy};
}

}  // namespace oqto::audit::cli
