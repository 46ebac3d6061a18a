// Finds entries: the index says which may fit, the entries themselves which do. A search takes a
// bounded time and then says how far it came.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "audit/read/entry_reader.h"
#include "audit/read/names.h"
#include "auditor/follower.h"
#include "auditor/index.h"
#include "auditor/log_view.h"
#include "protocol/audit_command.h"

namespace oqto::auditor {

struct Row {
  std::uint64_t index = 0;
  std::string entry;
  LogView::Opened opened;
};
struct Page {
  std::vector<Row> rows;
  std::vector<std::string> unknown;  // who was asked for and is not in the log, a sentence each
  std::optional<std::uint64_t>
      next;  // where to go on: below it, or from it if ascending; none: done
};

// What no log can hold, in a sentence.
std::optional<std::string> filter_problem(const protocol::AuditFilter& filter);

class Search {
 public:
  Search(LogView& view, Follower& follower, std::string state_dir)
      : view_(view), follower_(follower), state_dir_(std::move(state_dir)) {}

  struct Range {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    bool ascending = false;
    std::size_t limit = 0;
  };
  // Errc::invalid: the text has no word in it. Errc::unavailable: the index is being made again.
  Result<Page> run(const protocol::AuditFilter& filter, Range range);

  // What an entry belongs to: an outcome to its intent.
  std::optional<Row> related(const Row& row);

  // The accounts and users that the log names.
  Result<audit::Names> names();
  // One entry, from the tiles or from what has just been read.
  Result<std::string> entry(std::uint64_t index);

  static constexpr std::size_t kMaxBytes = 384 * 1024;  // of one page; one entry always fits
  static constexpr std::uint64_t kMaxMs = 1000;

 private:
  struct Walk;
  Result<IndexReader*> index();
  Result<std::vector<std::uint64_t>> candidates(Walk& walk);
  bool fits(const protocol::AuditFilter& filter, const Row& row);
  bool has_texts(const std::string& wanted, const audit::ReadEntry& entry, const Row& row);
  Result<protocol::AuditFilter> as_the_log_spells(protocol::AuditFilter filter,
                                                  std::vector<std::string>& unknown);

  LogView& view_;
  Follower& follower_;
  std::string state_dir_;
  std::optional<IndexReader> index_;
  std::uint64_t generation_ = 0;
};

}  // namespace oqto::auditor
