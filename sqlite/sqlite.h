// The little of SQLite's C interface that the history and the auditor's index use, with errors as
// Results. A failed bind is reported by the next step().
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace oqto::sqlite {

struct CloseDatabase {
  void operator()(sqlite3* db) const { ::sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

inline std::unexpected<Error> sqlite_error(int code) {
  const int kind = code & 0xff;
  const bool damaged = kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB;
  if (kind == SQLITE_CONSTRAINT) return fail(Errc::denied, ::sqlite3_errstr(code));
  return fail(kind == SQLITE_FULL ? Errc::unavailable : damaged ? Errc::bad_message : Errc::io,
              ::sqlite3_errstr(code));
}

inline Status execute(const Database& db, const char* sql) {
  const int code = ::sqlite3_exec(db.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_error(code);
  return {};
}

class Statement {
 public:
  Statement(const Database& db, std::string_view sql) {
    code_ = ::sqlite3_prepare_v2(db.get(), sql.data(), static_cast<int>(sql.size()), &statement_,
                                 nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { ::sqlite3_finalize(statement_); }

  // Parameters in order. The text must live until the last step().
  Statement& text(std::string_view value) {
    return done(::sqlite3_bind_text64(statement_, ++bound_, value.data(), value.size(),
                                      SQLITE_STATIC, SQLITE_UTF8));
  }
  Statement& blob(std::string_view value) {
    return done(::sqlite3_bind_blob64(statement_, ++bound_, value.data(), value.size(), SQLITE_STATIC));
  }
  Statement& number(std::int64_t value) {
    return done(::sqlite3_bind_int64(statement_, ++bound_, value));
  }
  Statement& real(double value) { return done(::sqlite3_bind_double(statement_, ++bound_, value)); }
  Statement& null() { return done(::sqlite3_bind_null(statement_, ++bound_)); }
  Statement& text_if(bool present, std::string_view value) {
    return present ? text(value) : null();
  }
  Statement& number_if(bool present, std::int64_t value) {
    return present ? number(value) : null();
  }
  Statement& real_if(bool present, double value) { return present ? real(value) : null(); }

  // True: there is a row.
  Result<bool> step() {
    if (code_ != SQLITE_OK) return sqlite_error(code_);
    const int code = ::sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return sqlite_error(code);
  }
  Status run() {
    (void)TRY(step());
    return {};
  }
  // For the next use with other parameters.
  void reset() {
    ::sqlite3_reset(statement_);
    bound_ = 0;
  }

  [[nodiscard]] bool is_null(int column) const {
    return ::sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }
  [[nodiscard]] std::int64_t int64(int column) const {
    return ::sqlite3_column_int64(statement_, column);
  }
  [[nodiscard]] std::int32_t int32(int column) const {
    return static_cast<std::int32_t>(int64(column));
  }
  [[nodiscard]] double number_real(int column) const {
    return ::sqlite3_column_double(statement_, column);
  }
  [[nodiscard]] std::string string(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(::sqlite3_column_text(statement_, column));
    if (bytes == nullptr) return {};
    return {bytes, static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column))};
  }

  [[nodiscard]] std::string blob(int column) const {
    const void* bytes = ::sqlite3_column_blob(statement_, column);
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes), static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column))};
  }

 private:
  Statement& done(int code) {
    if (code_ == SQLITE_OK) code_ = code;
    return *this;
  }

  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
  int bound_ = 0;
};

}  // namespace oqto::sqlite
