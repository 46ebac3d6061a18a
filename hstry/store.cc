#include "hstry/store.h"

#include <algorithm>
#include <mutex>

#include "base/encoding.h"
#include "base/sys.h"
#include "hstry.pb.h"
#include "hstry/pieces.h"
#include "hstry/rows.h"
#include "hstry/sqlite.h"

namespace oqto::hstry {
namespace {

constexpr int kSchemaVersion = 2;
constexpr const char* kSchema = R"sql(
  CREATE TABLE sources(id TEXT PRIMARY KEY, adapter TEXT NOT NULL, path TEXT, last_sync_at INTEGER,
    config TEXT);
  CREATE TABLE conversations(id TEXT PRIMARY KEY, source_id TEXT NOT NULL REFERENCES sources(id),
    external_id TEXT NOT NULL, readable_id TEXT, title TEXT, created_at INTEGER NOT NULL,
    updated_at INTEGER, model TEXT, workspace TEXT, tokens_in INTEGER, tokens_out INTEGER,
    cost_usd REAL, metadata TEXT NOT NULL, provider TEXT, harness TEXT, platform_id TEXT,
    version INTEGER NOT NULL, message_count INTEGER NOT NULL, parent_conversation_id TEXT,
    parent_message_idx INTEGER, fork_type TEXT, UNIQUE(source_id, external_id));
  CREATE INDEX conversations_by_change ON conversations(updated_at DESC, id);
  CREATE INDEX conversations_by_readable_id ON conversations(readable_id);
  CREATE TABLE messages(id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    idx INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, parts_json TEXT NOT NULL,
    created_at INTEGER, model TEXT, tokens INTEGER, cost_usd REAL, metadata TEXT NOT NULL,
    sender_json TEXT NOT NULL, provider TEXT, harness TEXT, client_id TEXT,
    UNIQUE(conversation_id, idx));
)sql";
// Version 2: prompts are found by the id that their client gave them, and long parts have a place.
constexpr const char* kSecondSchema = R"sql(
  CREATE INDEX messages_by_client_id ON messages(conversation_id, client_id) WHERE client_id IS NOT NULL;
  CREATE TABLE part_pieces(conversation_id TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
    message_id TEXT NOT NULL, part_id TEXT NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE(conversation_id, message_id, part_id, start));
  PRAGMA user_version = 2;
)sql";

// Ends the transaction when it goes out of scope; undone unless commit() succeeded.
class Transaction {
 public:
  explicit Transaction(const Database& db) : db_(db) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (open_) (void)execute(db_, "ROLLBACK");
  }
  Status begin() {
    TRY(execute(db_, "BEGIN IMMEDIATE"));
    open_ = true;
    return {};
  }
  Status commit() {
    TRY(execute(db_, "COMMIT"));
    open_ = false;
    return {};
  }

 private:
  const Database& db_;
  bool open_ = false;
};

Status check_id(std::string_view source_id, std::string_view external_id) {
  if (source_id.empty() || external_id.empty()) {
    return fail(Errc::invalid, "source_id and external_id are required");
  }
  if (source_id.size() > kMaxIdBytes || external_id.size() > kMaxIdBytes) {
    return fail(Errc::limit, "source_id and external_id have at most 512 bytes");
  }
  return {};
}

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(Database db) : db_(std::move(db)) {}

  Status prepare() {
    // One process, one connection: EXCLUSIVE keeps the WAL index in memory instead of a mapped
    // file.
    TRY(execute(db_, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; "
                     "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; "
                     "PRAGMA secure_delete=ON; PRAGMA trusted_schema=OFF;"));
    Statement version(db_, "PRAGMA user_version");
    (void)TRY(version.step());
    const std::int64_t found = version.int64(0);
    if (found > kSchemaVersion) {
      return fail(Errc::invalid, "hstry.db was written by a newer version of this program");
    }
    if (found == kSchemaVersion) return {};
    Transaction transaction(db_);
    version.reset();
    TRY(transaction.begin());
    if (found < 1) TRY(execute(db_, kSchema));
    TRY(execute(db_, kSecondSchema));
    return transaction.commit();
  }

  Status probe() override {
    const std::scoped_lock lock(mutex_);
    return execute(db_, "PRAGMA application_id = 1332835439");  // "Oqto"
  }

  Status write(const proto::WriteConversationRequest& request,
               proto::WriteConversationResponse& response) override {
    const std::scoped_lock lock(mutex_);
    const proto::Conversation& header = request.conversation();
    TRY(check_id(header.source_id(), header.external_id()));
    TRY(check_header_size(header.ByteSizeLong()));
    Transaction transaction(db_);
    TRY(transaction.begin());
    Statement source(db_, "INSERT OR IGNORE INTO sources(id, adapter) VALUES(?1, ?1)");
    TRY(source.text(header.source_id()).run());
    TRY(upsert_conversation(db_, header));
    Found found = TRY(find(header.source_id(), header.external_id()));
    const int written = TRY(insert_messages(found, request.messages()));
    TRY(count_messages(found, written));
    TRY(transaction.commit());
    report(found, written, response);
    return {};
  }

  Status append(const proto::AppendMessagesRequest& request,
                proto::AppendMessagesResponse& response) override {
    const std::scoped_lock lock(mutex_);
    TRY(check_id(request.source_id(), request.external_id()));
    Transaction transaction(db_);
    TRY(transaction.begin());
    Found found = TRY(find(request.source_id(), request.external_id()));
    const int written = TRY(insert_messages(found, request.messages()));
    if (written > 0) {
      ++found.version;
      const std::int64_t now = request.has_updated_at_ms()
                                   ? request.updated_at_ms()
                                   : static_cast<std::int64_t>(sys::now_ms());
      Statement touch(db_, "UPDATE conversations SET version = ?, updated_at = ? WHERE id = ?");
      TRY(touch.number(found.version).number(now).text(found.id).run());
      TRY(count_messages(found, written));
    }
    TRY(transaction.commit());
    report(found, written, response);
    return {};
  }

  Status update(const proto::UpdateConversationRequest& request,
                proto::UpdateConversationResponse& response) override {
    const std::scoped_lock lock(mutex_);
    TRY(check_id(request.source_id(), request.external_id()));
    TRY(check_header_size(request.ByteSizeLong()));
    Transaction transaction(db_);
    TRY(transaction.begin());
    const Found found = TRY(find(request.source_id(), request.external_id()));
    TRY(update_conversation(db_, found.id, request));
    TRY(transaction.commit());
    response.set_conversation_id(found.id);
    return {};
  }

  Status remove(const proto::DeleteConversationRequest& request,
                proto::DeleteConversationResponse& response) override {
    const std::scoped_lock lock(mutex_);
    TRY(check_id(request.source_id(), request.external_id()));
    Transaction transaction(db_);
    TRY(transaction.begin());
    const Found found = TRY(find(request.source_id(), request.external_id()));
    Statement gone(db_, "DELETE FROM conversations WHERE id = ?");
    TRY(gone.text(found.id).run());
    TRY(transaction.commit());
    response.set_conversation_id(found.id);
    return {};
  }

  Status fork(const proto::ForkConversationRequest& request, proto::ForkConversationResponse& response) override {
    const std::scoped_lock lock(mutex_);
    proto::Conversation header = request.conversation();
    TRY(check_id(header.source_id(), header.external_id()));
    TRY(check_header_size(header.ByteSizeLong()));
    if (request.id_suffix().empty() || request.id_suffix().size() > 64)
      return fail(Errc::invalid, "id_suffix has 1 to 64 bytes");
    Transaction transaction(db_);
    TRY(transaction.begin());
    const Found from = TRY(find(header.source_id(), request.from_external_id()));
    if (find(header.source_id(), header.external_id())) return fail(Errc::denied, "that conversation exists");
    header.set_parent_conversation_id(from.id);
    header.set_parent_message_idx(request.before_idx());
    header.set_fork_type("fork");
    TRY(upsert_conversation(db_, header));
    Found made = TRY(find(header.source_id(), header.external_id()));
    TRY(copy_messages(db_, from.id, made.id, request.before_idx(), request.id_suffix()));
    TRY(count_messages(made, ::sqlite3_changes(db_.get())));
    TRY(copy_pieces(db_, from.id, made.id, request.id_suffix()));
    TRY(transaction.commit());
    response.set_conversation_id(made.id);
    response.set_message_count(made.message_count);
    return {};
  }

  Status conversation(const proto::GetConversationRequest& request,
                      proto::GetConversationResponse& response) override {
    const std::scoped_lock lock(mutex_);
    const Result<std::string> id = resolve(request);
    if (!id && id.error().code == Errc::not_found) return {};
    if (!id) return std::unexpected(id.error());
    Statement row(db_, select_conversation("WHERE id = ?"));
    if (TRY(row.text(*id).step())) {
      read_conversation(row, *response.mutable_conversation());
      response.set_conversation_id(*id);
    }
    return {};
  }

  Status messages(const proto::GetMessagesRequest& request,
                  proto::GetMessagesResponse& response) override {
    const std::scoped_lock lock(mutex_);
    if (request.limit() < 0) return fail(Errc::invalid, "limit is negative");
    const std::string id = TRY(resolve(request));
    response.set_conversation_id(id);
    const std::string_view only = request.has_client_id()    ? "AND client_id = ?3 "
                                  : request.has_message_id() ? "AND id = ?3 "
                                                             : "";
    Statement row(db_, select_message("WHERE conversation_id = ?1 AND idx < ?2 " + std::string(only) +
                                      "ORDER BY idx DESC"));
    row.text(id).number(request.has_before_idx() ? request.before_idx() : INT64_MAX);
    if (!only.empty()) row.text(request.has_client_id() ? request.client_id() : request.message_id());
    std::size_t bytes = 0;
    while (TRY(row.step())) {
      proto::Message message;
      read_message(row, message);
      bytes += message.ByteSizeLong() + 16;  // the framing of one repeated field
      const bool fits = response.messages_size() == 0 || bytes <= kMaxPageBytes;
      if (!fits || (request.limit() > 0 && response.messages_size() >= request.limit())) {
        response.set_has_more(true);
        break;
      }
      response.add_messages()->Swap(&message);
    }
    std::reverse(response.mutable_messages()->pointer_begin(),
                 response.mutable_messages()->pointer_end());
    return {};
  }

  Status list(const proto::ListConversationsRequest& request,
              proto::ListConversationsResponse& response) override {
    const std::scoped_lock lock(mutex_);
    if (request.limit() < 0 || request.offset() < 0) {
      return fail(Errc::invalid, "limit and offset cannot be negative");
    }
    Statement row(db_, select_conversation("WHERE (?1 = '' OR source_id = ?1) AND "
                                           "(?2 = '' OR workspace = ?2) "
                                           "ORDER BY updated_at DESC, id LIMIT ?3 OFFSET ?4"));
    const int limit = request.limit() == 0 ? kMaxListed : std::min(request.limit(), kMaxListed);
    row.text(request.source_id()).text(request.workspace()).number(limit).number(request.offset());
    while (TRY(row.step())) {
      proto::ConversationSummary& summary = *response.add_conversations();
      read_conversation(row, *summary.mutable_conversation());
      summary.set_conversation_id(conversation_row_id(row));
      summary.set_message_count(summary.conversation().message_count());
      summary.set_first_user_message(TRY(preview(summary.conversation_id())));
    }
    return {};
  }

  Status put_part(const proto::PutPartRequest& request) override {
    const std::scoped_lock lock(mutex_);
    TRY(check_id(request.source_id(), request.external_id()));
    const Found found = TRY(find(request.source_id(), request.external_id()));
    return insert_piece(db_, found.id, request);
  }

  Status get_part(const proto::GetPartRequest& request, proto::GetPartResponse& response) override {
    const std::scoped_lock lock(mutex_);
    const Found found = TRY(find(request.source_id(), request.external_id()));
    return read_pieces(db_, found.id, request, response);
  }

 private:
  struct Found {
    std::string id;
    std::int64_t version = 0;
    int message_count = 0;
  };

  static Status check_header_size(std::size_t bytes) {
    if (bytes > kMaxHeaderBytes) {
      return fail(Errc::limit, "a conversation's own fields have at most 64 KiB together");
    }
    return {};
  }

  static void report(const Found& found, int written, auto& response) {
    response.set_conversation_id(found.id);
    response.set_messages_written(written);
    response.set_version(found.version);
    response.set_message_count(found.message_count);
  }

  Result<Found> find(const std::string& source_id, const std::string& external_id) {
    Statement row(db_, "SELECT id, version, message_count FROM conversations "
                       "WHERE source_id = ? AND external_id = ?");
    if (!TRY(row.text(source_id).text(external_id).step())) {
      return fail(Errc::not_found, "there is no such conversation");
    }
    return Found{row.string(0), row.int64(1), row.int32(2)};
  }

  Result<std::string> resolve(const auto& key) {
    Statement row(db_, "SELECT id FROM conversations WHERE CASE "
                       "WHEN ?1 <> '' THEN id = ?1 "
                       "WHEN ?3 <> '' THEN source_id = ?2 AND external_id = ?3 "
                       "ELSE ?4 <> '' AND readable_id = ?4 AND (?5 = '' OR workspace = ?5) END "
                       "ORDER BY updated_at DESC LIMIT 1");
    row.text(key.conversation_id()).text(key.source_id()).text(key.external_id());
    row.text(key.readable_id()).text(key.workspace());
    if (!TRY(row.step())) return fail(Errc::not_found, "there is no such conversation");
    return row.string(0);
  }

  Result<int> insert_messages(const Found& found, const auto& messages) {
    if (messages.size() > kMaxMessagesPerCall) {
      return fail(Errc::limit, "one call takes at most 10000 messages");
    }
    int written = 0;
    for (const proto::Message& message : messages) {
      if (message.idx() < 0 || message.role().empty()) {
        return fail(Errc::invalid, "a message needs a role and an idx of 0 or more");
      }
      if (message.ByteSizeLong() > kMaxMessageBytes) {
        return fail(Errc::limit, "a message has at most 15 MiB");
      }
      if (!TRY(is_repetition(found, message))) {
        TRY(insert_message(db_, found.id, message, Uuid::random().text()));
        ++written;
      }
    }
    return written;
  }

  // True: exactly this message is stored already.
  Result<bool> is_repetition(const Found& found, const proto::Message& message) {
    Statement row(db_, select_message("WHERE conversation_id = ? AND idx = ?"));
    if (!TRY(row.text(found.id).number(message.idx()).step())) return false;
    proto::Message stored;
    read_message(row, stored);
    if (!message.has_id()) stored.clear_id();
    proto::Message wanted = message;
    wanted.DiscardUnknownFields();
    if (stored.SerializeAsString() == wanted.SerializeAsString()) return true;
    return fail(Errc::denied, "another message has this idx; stored messages do not change");
  }

  Status count_messages(Found& found, int written) {
    found.message_count += written;
    Statement count(db_, "UPDATE conversations SET message_count = ? WHERE id = ?");
    return count.number(found.message_count).text(found.id).run();
  }

  Result<std::string> preview(const std::string& id) {
    Statement row(db_, "SELECT content FROM messages WHERE conversation_id = ? AND role = 'user' "
                       "ORDER BY idx LIMIT 1");
    if (!TRY(row.text(id).step())) return std::string();
    std::string text = row.string(0);
    if (text.size() > kMaxPreviewBytes) {
      std::size_t end = kMaxPreviewBytes;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
      text.resize(end);
    }
    return text;
  }

  Database db_;
  std::mutex mutex_;
};

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& dir) {
  sqlite3* handle = nullptr;
  const std::string path = dir + "/hstry.db";
  const int code = ::sqlite3_open_v2(
      path.c_str(), &handle,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
      nullptr);
  auto store = std::make_unique<SqliteStore>(Database(handle));
  if (code != SQLITE_OK) return sqlite_error(code);
  TRY(store->prepare());
  return store;
}

}  // namespace oqto::hstry
