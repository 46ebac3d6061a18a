#include "audit/cli/read.h"

#include <algorithm>

#include "audit/cli/cli.h"
#include "audit/format/format.h"
#include "audit/format/note.h"
#include "audit/format/tile_store.h"
#include "audit/read/entry_view.h"
#include "audit/read/prove.h"
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

std::string shown(std::string_view entry, bool json, std::string_view related) {
  return (json ? entry_json(entry) : entry_line(entry, related)) + "\n";
}

Result<std::unique_ptr<Opener>> Opener::create(const std::string& log) {
  return std::unique_ptr<Opener>(new Opener(TRY(sys::open_dir(log.c_str()))));
}

Relations::Fetch fetch_from(Opener& opener) {
  return [&opener](std::uint64_t index) -> std::optional<std::string> {
    const auto note = read_log_file(opener.log(), kCheckpointFile, kMaxNoteFile);
    const auto checkpoint = note ? read_checkpoint(*note) : std::nullopt;
    if (!checkpoint || index >= checkpoint->size) return std::nullopt;
    const auto entry = read_entry(opener.log(), index, checkpoint->size);
    if (!entry) return std::nullopt;
    return opener.open(*entry);
  };
}

Result<Names> read_names(const std::string& log) {
  Names names;
  auto reader = TRY(LogReader::open(log));
  TRY(reader.read_new([&](std::uint64_t, std::string_view entry) -> Status {
    (void)names.learn(entry);
    return {};
  }));
  return names;
}

Status learn_names(const std::string& log, Selection& selection) {
  if (selection.needs_names()) selection.learn(TRY(read_names(log)));
  return {};
}

int nothing_found(const Query& query, const Searched& searched) {
  for (const std::string& sentence : searched.unknown) (void)complain(sentence);
  const std::string asked = query.text();
  std::string among = std::to_string(searched.entries) + " entries";
  if (searched.entries > 0) {
    among += " (#" + std::to_string(searched.first) + " to #" + std::to_string(searched.last) + ")";
  }
  (void)complain("nothing found: none of " + among + (asked.empty() ? "" : " fits " + asked));
  return kFindings;
}

int visit_entries(const std::string& log, const Query& query, const EntryVisitor& visit,
                  Searched& searched) {
  searched = {};
  auto reader = LogReader::open(log);
  if (!reader) return complain("the log " + log + ": " + reason(reader.error()));
  auto opener = Opener::create(log);
  if (!opener) return complain("the log " + log + ": " + reason(opener.error()));
  if (query.limit == 0) return kOk;
  Selection selection(query, fetch_from(**opener));
  Status status = learn_names(log, selection);
  if (status) status = reader->seek(query.first);
  if (status) {
    status = reader->read_new([&](std::uint64_t index, std::string_view entry) -> Status {
      if (index > query.last) return enough();
      if (index < query.first && !query.selects_by_content()) return {};
      const std::string opened = (*opener)->open(entry);
      const bool takes = selection.takes(index, opened);
      if (index < query.first) return {};
      if (searched.entries++ == 0) searched.first = index;
      searched.last = index;
      if (!takes) return {};
      const auto& related = selection.related();
      SeenEntry seen{index, entry, opened};
      if (related) seen.related = related->entry, seen.related_index = related->index;
      return visit(seen) && ++searched.found < query.limit
                 ? Status()
                 : enough();
    });
  }
  searched.unknown = selection.unknown();
  return reading_ended(log, *reader, status);
}

}  // namespace oqto::audit::cli
