#include "accounts/sqlite.h"

#include <sqlite3.h>

#include "base/log.h"

namespace oqto::accounts {
namespace {

constexpr int kBusyTimeoutMs = 1000;

Error failure(sqlite3* handle, int code) {
  if ((code & 0xff) == SQLITE_CONSTRAINT) {
    return Error{Errc::denied, "a constraint of the accounts database was violated", 0};
  }
  // The text names tables and causes; bound values never appear in it.
  log::error("the accounts database failed", {{"cause", sqlite3_errmsg(handle)}, {"code", code}});
  return Error{Errc::io, "the accounts database failed", 0};
}

}  // namespace

void Query::Finalize::operator()(sqlite3_stmt* statement) const {
  (void)sqlite3_finalize(statement);  // repeats the error that next() has reported
}

Result<bool> Query::next() {
  if (failed_) return fail(Errc::io, "a value could not be bound to a statement");
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(failure(sqlite3_db_handle(statement_.get()), code));
}

std::uint64_t Query::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

std::string Query::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

void Query::bind_number(std::int64_t value) {
  if (sqlite3_bind_int64(statement_.get(), ++bound_, value) != SQLITE_OK) failed_ = true;
}

void Query::bind(std::string_view value) {
  const char* text = value.data() == nullptr ? "" : value.data();
  if (sqlite3_bind_text64(statement_.get(), ++bound_, text, value.size(), SQLITE_TRANSIENT,
                          SQLITE_UTF8) != SQLITE_OK) {
    failed_ = true;
  }
}

void Query::bind(std::span<const std::uint8_t> value) {
  if (sqlite3_bind_blob64(statement_.get(), ++bound_, value.data(), value.size(),
                          SQLITE_TRANSIENT) != SQLITE_OK) {
    failed_ = true;
  }
}

void Database::Close::operator()(sqlite3* handle) const { (void)sqlite3_close(handle); }

Result<Database> Database::open(const std::string& path) {
  sqlite3* handle = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                         SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &handle, kFlags, nullptr);
  Database db(handle);
  if (code != SQLITE_OK) return std::unexpected(failure(handle, code));
  (void)sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TRY(db.script("PRAGMA locking_mode = EXCLUSIVE;"
                "PRAGMA journal_mode = WAL;"
                "PRAGMA synchronous = FULL;"
                "PRAGMA foreign_keys = ON;"
                "PRAGMA secure_delete = ON;"
                "PRAGMA temp_store = MEMORY;"
                "BEGIN IMMEDIATE; COMMIT;"));  // takes the lock now, not at the first login
  auto check = TRY(db.query("PRAGMA quick_check"));
  if (!TRY(check.next()) || check.text(0) != "ok") {
    return fail(Errc::io, "accounts.db is damaged: restore it from a backup");
  }
  return db;
}

void Database::keep_room() {
  constexpr std::uint64_t kFreePages = 256;
  int keep = 1;  // the file of the log is not removed at the end: on a full disk it could not be made again
  (void)sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
  // A checkpoint follows before the log is longer than it is made here.
  (void)sqlite3_wal_autocheckpoint(handle_.get(), static_cast<int>(kFreePages) / 2);
  {
    auto pages = query("PRAGMA freelist_count");
    const auto row = pages ? pages->next() : Result<bool>(false);
    if (row && *row && pages->number(0) >= kFreePages) return;
  }
  const Status grown = script("BEGIN IMMEDIATE; CREATE TABLE room (bytes BLOB); INSERT INTO room VALUES (zeroblob(2000000)); "
                              "DROP TABLE room; COMMIT; PRAGMA wal_checkpoint(RESTART);");
  if (grown) return;
  log::warn("no room could be set aside for accounts.db: on a full disk nobody can sign in");
  (void)script("ROLLBACK");
}

Status Database::script(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected(failure(handle_.get(), code));
  return {};
}

Result<Query> Database::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(handle_.get(), sql, -1, &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(failure(handle_.get(), code));
  return Query(statement);
}

std::uint64_t Database::changes() const {
  return static_cast<std::uint64_t>(sqlite3_changes64(handle_.get()));
}

std::uint64_t Database::last_id() const {
  return static_cast<std::uint64_t>(sqlite3_last_insert_rowid(handle_.get()));
}

Result<Transaction> Transaction::begin(Database& db) {
  TRY(db.script("BEGIN IMMEDIATE"));
  return Transaction(db);
}

Status Transaction::commit() {
  TRY(db_->script("COMMIT"));
  db_ = nullptr;
  return {};
}

Transaction::~Transaction() {
  // A rollback fails only when SQLite has rolled back by itself already.
  if (db_ != nullptr) (void)db_->script("ROLLBACK");
}

}  // namespace oqto::accounts
