// The little of SQLite that accounts needs. Not thread-safe: the loop's thread alone uses it.
// Values are always bound, never pasted into the text of a statement.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace oqto::accounts {

class Query {
 public:
  // True: a row is there. False: that was all. Errc::io: the database failed; Errc::denied: a
  // constraint of the schema says no.
  Result<bool> next();

  [[nodiscard]] std::uint64_t number(int column) const;  // 0 for NULL
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Query(sqlite3_stmt* statement) : statement_(statement) {}
  void bind(std::integral auto value) { bind_number(static_cast<std::int64_t>(value)); }
  void bind(std::string_view value);
  void bind(std::span<const std::uint8_t> value);
  void bind(std::nullptr_t) { ++bound_; }  // unbound is NULL
  void bind_number(std::int64_t value);

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
  bool failed_ = false;
};

class Database {
 public:
  // WAL with synchronous=FULL: what is committed, survives power loss. The lock is exclusive: a
  // second process on the same file is refused.
  static Result<Database> open(const std::string& path);

  // The values must live until the query has been stepped through.
  Result<Query> query(const char* sql, const auto&... values) {
    auto query = prepare(sql);
    if (query) (query->bind(values), ...);
    return query;
  }
  // For statements without rows.
  Status run(const char* sql, const auto&... values) {
    auto query = TRY(this->query(sql, values...));
    (void)TRY(query.next());
    return {};
  }
  // Takes room that later commits use when the disk is full: a write-ahead log that is long enough and stays
  // so, and free pages. Best effort.
  void keep_room();
  Status script(const char* sql);  // several statements, without values
  [[nodiscard]] std::uint64_t last_id() const;
  [[nodiscard]] std::uint64_t changes() const;  // rows that the last statement changed

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  explicit Database(sqlite3* handle) : handle_(handle) {}
  Result<Query> prepare(const char* sql);

  std::unique_ptr<sqlite3, Close> handle_;
};

// Rolls back unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& db);
  Status commit();
  Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

 private:
  explicit Transaction(Database& db) : db_(&db) {}
  Database* db_;
};

}  // namespace oqto::accounts
