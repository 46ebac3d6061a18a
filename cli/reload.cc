#include "cli/reload.h"

#include <algorithm>
#include <cstdio>

#include "cli/host.h"
#include "cli/json.h"
#include "cli/table.h"

namespace oqto::cli {
namespace {

std::string text_of(const std::vector<ipc::Reloaded>& parts) {
  std::vector<Row> rows{{"PART", "RESULT", "WHAT"}};
  bool is_whole = true;
  for (const ipc::Reloaded& part : parts) {
    std::string what = part.what.str();
    if (part.expires_ms != 0) what += "; until " + local_time(part.expires_ms);
    rows.push_back(
        {std::string(reload_part_name(part.part)), std::string(reload_result(part)), what});
    is_whole = is_whole && part.ok == 1;
  }
  return table(rows) +
         (is_whole ? "" : "\nWhat was refused goes on as it was: mend it, then reload again.\n");
}

}  // namespace

int reload(const Options& options) {
  auto host = Host::connect(options.state);
  const auto parts = host ? host->reload() : std::unexpected(host.error());
  if (!parts) {
    (void)std::fprintf(stderr, "oqtoctl: %s\n", printable(parts.error()).c_str());
    return 1;
  }
  const std::string text = options.json ? reload_json(*parts) + '\n' : text_of(*parts);
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  return std::ranges::all_of(*parts, [](const ipc::Reloaded& part) { return part.ok == 1; }) ? 0
                                                                                             : 1;
}

}  // namespace oqto::cli
