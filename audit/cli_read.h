// Walking through a log's entries for the commands that show them.
#pragma once
#include <functional>
#include <string>

#include "audit/query.h"
#include "audit/reader.h"

namespace oqto::audit::cli {

// false: enough.
using EntryVisitor = std::function<bool(std::uint64_t index, std::string_view entry)>;

// Visits what the query asks for, at most its limit; kOk, or kUnusable after a complaint. `found`
// counts.
int visit_entries(const std::string& log, const Query& query, const EntryVisitor& visit,
                  std::uint64_t& found);

// What became of reading, as an exit status. Errc::unavailable is how a sink says "enough".
int reading_ended(const std::string& log, const LogReader& reader, const Status& status);
Status enough();

std::string shown(std::string_view entry, bool json);

}  // namespace oqto::audit::cli
