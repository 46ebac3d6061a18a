// The index of the log: which entries have which words. Derived, so it may be thrown away at any
// time: it is written without waiting for the disk, and whatever is wrong with it, it is made
// again.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "audit/format/hash.h"
#include "audit/read/names.h"
#include "sqlite/sqlite.h"

namespace oqto::auditor {

constexpr std::uint64_t kTimeBlock = 4096;  // entries that share a note of their times

// Which log it is of, and how far it goes. The leaf hashes are compared with the log's own.
struct Coverage {
  std::uint64_t first = 0;
  std::uint64_t next = 0;
  audit::Hash first_leaf{};
  audit::Hash last_leaf{};
};

class IndexWriter {
 public:
  // `dir` exists. Any error but Errc::limit (no room): the file is of no use, see remove_index().
  static Result<IndexWriter> open(const std::string& dir);

  [[nodiscard]] const Coverage& coverage() const { return coverage_; }
  // In order and without a gap. Visible to readers after commit().
  // `related`: the entry that it belongs to, or empty.
  Status add(std::uint64_t index, std::string_view entry, std::string_view related = {});
  Status commit();

 private:
  explicit IndexWriter(sqlite::Database db) : db_(std::move(db)) {}
  struct Times {
    std::uint64_t min_ms = ~std::uint64_t{0};
    std::uint64_t max_ms = 0;
  };
  Status load();
  Status load_names();
  Status save();

  sqlite::Database db_;
  std::unique_ptr<sqlite::Statement> insert_;
  Coverage coverage_;
  audit::Names names_;
  bool in_transaction_ = false;
  std::map<std::uint64_t, Times> times_;  // of blocks with entries since the last commit
};

Status remove_index(const std::string& dir);

class IndexReader {
 public:
  static Result<IndexReader> open(const std::string& dir);

  // Indices of [from, to) that match, at most `limit`: the largest, or the smallest if `ascending`.
  Result<std::vector<std::uint64_t>> find(const std::string& expression, std::uint64_t from,
                                          std::uint64_t to, bool ascending, std::size_t limit);
  // The accounts and users that the log names.
  Result<audit::Names> names();
  // The part of [from, to) outside of which no entry has a time within [from_ms, to_ms).
  Result<std::pair<std::uint64_t, std::uint64_t>> narrow(std::uint64_t from, std::uint64_t to,
                                                         std::uint64_t from_ms,
                                                         std::uint64_t to_ms);

 private:
  explicit IndexReader(sqlite::Database db) : db_(std::move(db)) {}
  sqlite::Database db_;
};

}  // namespace oqto::auditor
