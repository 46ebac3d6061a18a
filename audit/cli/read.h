// Walking through a log's entries for the commands that show them.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "audit/read/open_entry.h"
#include "audit/read/reader.h"
#include "audit/read/selection.h"

namespace oqto::audit::cli {

struct SeenEntry {
  std::uint64_t index = 0;
  std::string_view entry;   // as it stands in the log
  std::string_view opened;  // with its personal fields, where the log has the key to them
  std::string_view related = {};  // what it belongs to, opened; empty: nothing
  std::uint64_t related_index = 0;
};
// false: enough.
using EntryVisitor = std::function<bool(const SeenEntry& seen)>;

// Opens entries with the keys in the log directory.
class Opener {
 public:
  static Result<std::unique_ptr<Opener>> create(const std::string& log);
  std::string open(std::string_view entry) { return open_entry(entry, keys_); }
  [[nodiscard]] const Fd& log() const { return log_; }
  KeyReader& keys() { return keys_; }

 private:
  explicit Opener(Fd log) : log_(std::move(log)), keys_(log_) {}
  Fd log_;
  KeyReader keys_;
};

// What was looked through.
struct Searched {
  std::uint64_t found = 0;
  std::uint64_t entries = 0;
  std::uint64_t first = 0, last = 0;  // indices, if there are entries
  std::vector<std::string> unknown;   // sentences, see Selection
};

// Visits what the query asks for, at most its limit; kOk, or kUnusable after a complaint.
int visit_entries(const std::string& log, const Query& query, const EntryVisitor& visit,
                  Searched& searched);

// Says on stderr that nothing was found, and among what. kFindings.
int nothing_found(const Query& query, const Searched& searched);

// For a selection over this log: earlier entries by number, opened.
Relations::Fetch fetch_from(Opener& opener);
Result<Names> read_names(const std::string& log);
// Reads the whole log if the selection wants to know the names in it.
Status learn_names(const std::string& log, Selection& selection);

// What became of reading, as an exit status. Errc::unavailable is how a sink says "enough".
int reading_ended(const std::string& log, const LogReader& reader, const Status& status);
Status enough();

std::string shown(std::string_view entry, bool json, std::string_view related = {});

}  // namespace oqto::audit::cli
