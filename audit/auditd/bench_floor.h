// What the audit log's figures are held against: the same disk and the same bytes without a log.
#pragma once
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "base/sys.h"

namespace oqto::audit {

using Clock = std::chrono::steady_clock;
constexpr auto kSlice = std::chrono::milliseconds(120);

struct Slice {
  double per_second = 0;
  std::vector<double> latencies_us;
};

inline double micros_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// Calls `act`, which does `each` records, for the length of a slice.
template <class Act>
Slice timed(double each, Act act) {
  Slice slice;
  const auto start = Clock::now();
  while (Clock::now() - start < kSlice) {
    const auto before = Clock::now();
    act();
    slice.latencies_us.push_back(micros_since(before));
  }
  slice.per_second = each * static_cast<double>(slice.latencies_us.size()) * 1e6 / micros_since(start);
  return slice;
}

// pwrite and fdatasync, one after the other, to a file that grows.
class RawFile {
 public:
  RawFile(const std::string& path, std::size_t bytes)
      : file_(*sys::open_file(path.c_str(), O_RDWR | O_CREAT, 0600)), bytes_(bytes, 'x') {}
  Slice run() {
    return timed(1, [this] {
      CHECK(::pwrite(file_.get(), bytes_.data(), bytes_.size(), offset_) ==
            static_cast<ssize_t>(bytes_.size()));
      CHECK(::fdatasync(file_.get()) == 0);
      offset_ += static_cast<off_t>(bytes_.size());
    });
  }

 private:
  Fd file_;
  std::string bytes_;
  off_t offset_ = 0;
};

// One row per record, in write-ahead mode with synchronous=FULL.
class Rows {
 public:
  Rows(const std::string& path, std::size_t bytes) : bytes_(bytes, 'x') {
    CHECK(::sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
    sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log(seq INTEGER PRIMARY KEY, e BLOB)");
    CHECK(::sqlite3_prepare_v2(db_, "INSERT INTO log(e) VALUES(?)", -1, &insert_, nullptr) == SQLITE_OK);
  }
  ~Rows() {
    ::sqlite3_finalize(insert_);
    ::sqlite3_close(db_);
  }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  Slice run(int batch) {
    return timed(batch, [&] {
      sql("BEGIN");
      for (int i = 0; i < batch; ++i) {
        ::sqlite3_bind_blob(insert_, 1, bytes_.data(), static_cast<int>(bytes_.size()), SQLITE_STATIC);
        CHECK(::sqlite3_step(insert_) == SQLITE_DONE);
        ::sqlite3_reset(insert_);
      }
      sql("COMMIT");
    });
  }

 private:
  void sql(const char* text) { CHECK(::sqlite3_exec(db_, text, nullptr, nullptr, nullptr) == SQLITE_OK); }
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
  std::string bytes_;
};

}  // namespace oqto::audit
