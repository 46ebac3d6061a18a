#include "audit/cli/read.h"

#include <algorithm>

#include "audit/cli/cli.h"
#include "audit/read/entry_view.h"
#include "base/sys.h"

namespace oqto::audit::cli {

Status enough() {
  return fail(Errc::unavailable, "enough was read");
}

int reading_ended(const std::string& log, const LogReader& reader, const Status& status) {
  if (status || status.error().code == Errc::unavailable) return kOk;
  return complain("the log " + log + ", " + reader.where() + ": " + reason(status.error()) +
                  (status.error().code == Errc::bad_message ? "; run `oqto-audit verify`" : ""));
}

std::string shown(std::string_view entry, bool json) {
  return (json ? entry_json(entry) : entry_line(entry)) + "\n";
}

Result<std::unique_ptr<Opener>> Opener::create(const std::string& log) {
  return std::unique_ptr<Opener>(new Opener(TRY(sys::open_dir(log.c_str()))));
}

int visit_entries(const std::string& log, const Query& query, const EntryVisitor& visit,
                  std::uint64_t& found) {
  found = 0;
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  auto opener = Opener::create(log);
  if (!opener) return complain("the log " + log + ": " + reason(opener.error()));
  if (query.limit == 0) return kOk;
  Status status = reader->seek(query.first);
  if (status) {
    status = reader->read_new([&](std::uint64_t index, std::string_view entry) -> Status {
      if (index > query.last) return enough();
      if (index < query.first) return {};
      const std::string opened = (*opener)->open(entry);
      if (!query.matches(index, opened)) return {};
      return visit({index, entry, opened}) && ++found < query.limit ? Status() : enough();
    });
  }
  return reading_ended(log, *reader, status);
}

}  // namespace oqto::audit::cli
