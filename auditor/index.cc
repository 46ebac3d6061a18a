#include "auditor/index.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "audit/read/entry_reader.h"
#include "audit/read/query.h"
#include "auditor/words.h"
#include "base/encoding.h"

namespace oqto::auditor {
namespace {

using sqlite::Statement;

constexpr std::int64_t kVersion = 3;
constexpr const char* kFile = "/index.db";

constexpr const char* kSchema =
    "CREATE TABLE coverage (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER, first INTEGER,"
    "  next INTEGER, first_leaf TEXT, last_leaf TEXT);"
    "CREATE TABLE times (block INTEGER PRIMARY KEY, min_ms INTEGER, max_ms INTEGER);"
    "CREATE TABLE names (account TEXT, name TEXT, PRIMARY KEY (account, name)) WITHOUT ROWID;"
    // Contentless: the texts stay in the log, whose keys may be erased. `keys` are few and short.
    "CREATE VIRTUAL TABLE words USING fts5(keys, body, content='', tokenize='unicode61');"
    "INSERT INTO words(words, rank) VALUES ('automerge', 4);";

Result<sqlite::Database> open_database(const std::string& dir, int flags) {
  sqlite3* handle = nullptr;
  const int code =
      ::sqlite3_open_v2((dir + kFile).c_str(), &handle, flags | SQLITE_OPEN_NOFOLLOW, nullptr);
  sqlite::Database db(handle);
  if (code != SQLITE_OK) return sqlite::sqlite_error(code);
  (void)::sqlite3_busy_timeout(handle, 2000);
  (void)::sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  (void)::sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  TRY(sqlite::execute(db, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768;"));
  return db;
}

std::optional<audit::Hash> hash_of(std::string_view text) {
  const auto bytes = from_hex(text);
  audit::Hash hash{};
  if (!bytes || bytes->size() != hash.size()) return std::nullopt;
  std::ranges::copy(*bytes, hash.begin());
  return hash;
}

std::int64_t signed_of(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX));
}

}  // namespace

Result<IndexWriter> IndexWriter::open(const std::string& dir) {
  auto db = TRY(open_database(dir, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  TRY(sqlite::execute(
      db,
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 8192;"));
  IndexWriter writer(std::move(db));
  TRY(writer.load());
  writer.insert_ = std::make_unique<Statement>(
      writer.db_, "INSERT INTO words(rowid, keys, body) VALUES (?, ?, ?)");
  return writer;
}

static Status read_names(sqlite::Database& db, audit::Names& names) {
  Statement row(db, "SELECT account, name FROM names");
  while (TRY(row.step())) (void)names.learn({row.string(0), row.string(1)});
  return {};
}

Status IndexWriter::load_names() {
  return read_names(db_, names_);
}

Result<audit::Names> IndexReader::names() {
  audit::Names names;
  TRY(read_names(db_, names));
  return names;
}

Status IndexWriter::load() {
  bool is_empty = false;
  {
    Statement tables(db_, "SELECT count(*) FROM sqlite_schema");
    is_empty = TRY(tables.step()) && tables.int64(0) == 0;
  }
  if (is_empty) return sqlite::execute(db_, kSchema);
  Statement row(db_, "SELECT version, first, next, first_leaf, last_leaf FROM coverage");
  if (!TRY(row.step())) return {};  // made, and nothing committed yet
  const auto first_leaf = hash_of(row.string(3));
  const auto last_leaf = hash_of(row.string(4));
  if (row.int64(0) != kVersion || row.int64(1) < 0 || row.int64(2) <= row.int64(1) || !first_leaf ||
      !last_leaf) {
    return fail(Errc::invalid, "the index was made by another version");
  }
  coverage_ = {static_cast<std::uint64_t>(row.int64(1)), static_cast<std::uint64_t>(row.int64(2)),
               *first_leaf, *last_leaf};
  return load_names();
}

Status IndexWriter::add(std::uint64_t index, std::string_view entry, std::string_view related) {
  if (!in_transaction_) {
    TRY(sqlite::execute(db_, "BEGIN"));
    in_transaction_ = true;
  }
  const auto leaf = audit::leaf_hash(entry);
  if (coverage_.next == coverage_.first) {
    coverage_.first = index;
    coverage_.first_leaf = leaf;
  }
  coverage_.next = index + 1;
  coverage_.last_leaf = leaf;
  const auto read = audit::ReadEntry::parse(entry);
  if (!read) return {};  // counted, and found by its number alone
  Times& times = times_[index / kTimeBlock];
  const std::uint64_t time = read->number("time");
  times.min_ms = std::min(times.min_ms, time);
  times.max_ms = std::max(times.max_ms, time);
  if (const auto happened = audit::happened_ms(*read)) {
    times.min_ms = std::min(times.min_ms, *happened);
    times.max_ms = std::max(times.max_ms, *happened);
  }
  if (const auto pair = names_.learn(entry)) {
    Statement name(db_, "INSERT OR IGNORE INTO names VALUES (?, ?)");
    TRY(name.text(pair->account).text(pair->name).run());
  }
  const auto belongs = related.empty() ? std::nullopt : audit::ReadEntry::parse(related);
  const Words words = words_of(*read, belongs ? &*belongs : nullptr);
  insert_->reset();
  return insert_->number(signed_of(index)).text(words.keys).text(words.text).run();
}

Status IndexWriter::save() {
  for (const auto& [block, times] : times_) {
    Statement row(db_,
                  "INSERT INTO times VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET "
                  "min_ms = min(min_ms, excluded.min_ms), max_ms = max(max_ms, excluded.max_ms)");
    TRY(row.number(signed_of(block))
            .number(signed_of(times.min_ms))
            .number(signed_of(times.max_ms))
            .run());
  }
  Statement row(db_, "INSERT OR REPLACE INTO coverage VALUES (1, ?, ?, ?, ?, ?)");
  const std::string first = to_hex(coverage_.first_leaf);
  const std::string last = to_hex(coverage_.last_leaf);
  row.number(kVersion).number(signed_of(coverage_.first)).number(signed_of(coverage_.next));
  return row.text(first).text(last).run();
}

Status IndexWriter::commit() {
  if (!in_transaction_) return {};
  TRY(save());
  insert_->reset();
  TRY(sqlite::execute(db_, "COMMIT"));
  times_.clear();
  in_transaction_ = false;
  return {};
}

Status remove_index(const std::string& dir) {
  for (const char* name : {"", "-wal", "-shm", "-journal"}) {
    const std::string path = dir + kFile + name;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("unlink of the index");
  }
  return {};
}

Result<IndexReader> IndexReader::open(const std::string& dir) {
  return IndexReader(TRY(open_database(dir, SQLITE_OPEN_READONLY)));
}

Result<std::vector<std::uint64_t>> IndexReader::find(const std::string& expression,
                                                     std::uint64_t from, std::uint64_t to,
                                                     bool ascending, std::size_t limit) {
  std::vector<std::uint64_t> found;
  Statement row(
      db_, ascending ? "SELECT rowid FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ? "
                       "ORDER BY rowid LIMIT ?"
                     : "SELECT rowid FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ? "
                       "ORDER BY rowid DESC LIMIT ?");
  row.text(expression).number(signed_of(from)).number(signed_of(to));
  row.number(static_cast<std::int64_t>(limit));
  while (TRY(row.step())) found.push_back(static_cast<std::uint64_t>(row.int64(0)));
  return found;
}

Result<std::pair<std::uint64_t, std::uint64_t>> IndexReader::narrow(std::uint64_t from,
                                                                    std::uint64_t to,
                                                                    std::uint64_t from_ms,
                                                                    std::uint64_t to_ms) {
  Statement row(db_, "SELECT min(block), max(block) FROM times WHERE max_ms >= ? AND min_ms < ?");
  row.number(signed_of(from_ms)).number(signed_of(to_ms));
  if (!TRY(row.step()) || row.is_null(0)) return std::pair(from, from);
  const auto first = static_cast<std::uint64_t>(row.int64(0)) * kTimeBlock;
  const auto last = (static_cast<std::uint64_t>(row.int64(1)) + 1) * kTimeBlock;
  from = std::max(from, first);
  return std::pair(from, std::max(from, std::min(to, last)));
}

}  // namespace oqto::auditor
