#include "hstry/rows.h"

#include "base/encoding.h"
#include "base/sys.h"
#include "hstry.pb.h"

namespace oqto::hstry {
namespace {

constexpr std::string_view kConversationColumns =
    "source_id, external_id, title, created_at, updated_at, model, provider, workspace, tokens_in, "
    "tokens_out, cost_usd, metadata, harness, readable_id, platform_id, version, message_count, "
    "parent_conversation_id, parent_message_idx, fork_type, id";
constexpr int kConversationId = 20;

constexpr std::string_view kMessageColumns =
    "idx, role, content, parts_json, created_at, model, tokens, cost_usd, metadata, sender_json, "
    "provider, harness, client_id, id";

std::string select(std::string_view columns, std::string_view table, std::string_view condition) {
  std::string sql = "SELECT ";
  return sql.append(columns).append(" FROM ").append(table).append(" ").append(condition);
}

}  // namespace

std::string select_conversation(std::string_view condition) {
  return select(kConversationColumns, "conversations", condition);
}
std::string select_message(std::string_view condition) {
  return select(kMessageColumns, "messages", condition);
}
std::string conversation_row_id(const Statement& row) { return row.string(kConversationId); }

void read_conversation(const Statement& row, proto::Conversation& out) {
  out.set_source_id(row.string(0));
  out.set_external_id(row.string(1));
  if (!row.is_null(2)) out.set_title(row.string(2));
  out.set_created_at_ms(row.int64(3));
  if (!row.is_null(4)) out.set_updated_at_ms(row.int64(4));
  if (!row.is_null(5)) out.set_model(row.string(5));
  if (!row.is_null(6)) out.set_provider(row.string(6));
  if (!row.is_null(7)) out.set_workspace(row.string(7));
  if (!row.is_null(8)) out.set_tokens_in(row.int64(8));
  if (!row.is_null(9)) out.set_tokens_out(row.int64(9));
  if (!row.is_null(10)) out.set_cost_usd(row.number_real(10));
  out.set_metadata_json(row.string(11));
  if (!row.is_null(12)) out.set_harness(row.string(12));
  if (!row.is_null(13)) out.set_readable_id(row.string(13));
  if (!row.is_null(14)) out.set_platform_id(row.string(14));
  out.set_version(row.int64(15));
  out.set_message_count(row.int32(16));
  if (!row.is_null(17)) out.set_parent_conversation_id(row.string(17));
  if (!row.is_null(18)) out.set_parent_message_idx(row.int32(18));
  if (!row.is_null(19)) out.set_fork_type(row.string(19));
}

Status upsert_conversation(const Database& db, const proto::Conversation& c) {
  Statement put(db,
                "INSERT INTO conversations(id, version, message_count, source_id, external_id, "
                "title, created_at, updated_at, model, provider, workspace, tokens_in, tokens_out, "
                "cost_usd, metadata, harness, readable_id, platform_id, parent_conversation_id, "
                "parent_message_idx, fork_type) "
                "VALUES(?, 1, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT(source_id, external_id) DO UPDATE SET version = version + 1, "
                "title = excluded.title, created_at = excluded.created_at, "
                "updated_at = excluded.updated_at, model = excluded.model, "
                "provider = excluded.provider, workspace = excluded.workspace, "
                "tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, "
                "cost_usd = excluded.cost_usd, metadata = excluded.metadata, "
                "harness = excluded.harness, readable_id = excluded.readable_id, "
                "platform_id = excluded.platform_id, "
                "parent_conversation_id = excluded.parent_conversation_id, "
                "parent_message_idx = excluded.parent_message_idx, fork_type = excluded.fork_type");
  const std::string id = Uuid::random().text();
  const std::int64_t changed = c.has_updated_at_ms() ? c.updated_at_ms()
                                                     : static_cast<std::int64_t>(sys::now_ms());
  put.text(id).text(c.source_id()).text(c.external_id());
  put.text_if(c.has_title(), c.title()).number(c.created_at_ms()).number(changed);
  put.text_if(c.has_model(), c.model()).text_if(c.has_provider(), c.provider());
  put.text_if(c.has_workspace(), c.workspace());
  put.number_if(c.has_tokens_in(), c.tokens_in()).number_if(c.has_tokens_out(), c.tokens_out());
  put.real_if(c.has_cost_usd(), c.cost_usd()).text(c.metadata_json());
  put.text_if(c.has_harness(), c.harness()).text_if(c.has_readable_id(), c.readable_id());
  put.text_if(c.has_platform_id(), c.platform_id());
  put.text_if(c.has_parent_conversation_id(), c.parent_conversation_id());
  put.number_if(c.has_parent_message_idx(), c.parent_message_idx());
  return put.text_if(c.has_fork_type(), c.fork_type()).run();
}

Status update_conversation(const Database& db, const std::string& id,
                           const proto::UpdateConversationRequest& c) {
  Statement put(db,
                "UPDATE conversations SET version = version + 1, updated_at = ?, "
                "title = coalesce(?, title), workspace = coalesce(?, workspace), "
                "model = coalesce(?, model), provider = coalesce(?, provider), "
                "metadata = coalesce(?, metadata), readable_id = coalesce(?, readable_id), "
                "harness = coalesce(?, harness), platform_id = coalesce(?, platform_id), "
                "parent_conversation_id = coalesce(?, parent_conversation_id), "
                "parent_message_idx = coalesce(?, parent_message_idx), "
                "fork_type = coalesce(?, fork_type) WHERE id = ?");
  put.number(static_cast<std::int64_t>(sys::now_ms()));
  put.text_if(c.has_title(), c.title()).text_if(c.has_workspace(), c.workspace());
  put.text_if(c.has_model(), c.model()).text_if(c.has_provider(), c.provider());
  put.text_if(c.has_metadata_json(), c.metadata_json());
  put.text_if(c.has_readable_id(), c.readable_id()).text_if(c.has_harness(), c.harness());
  put.text_if(c.has_platform_id(), c.platform_id());
  put.text_if(c.has_parent_conversation_id(), c.parent_conversation_id());
  put.number_if(c.has_parent_message_idx(), c.parent_message_idx());
  return put.text_if(c.has_fork_type(), c.fork_type()).text(id).run();
}

void read_message(const Statement& row, proto::Message& out) {
  out.set_idx(row.int32(0));
  out.set_role(row.string(1));
  out.set_content(row.string(2));
  out.set_parts_json(row.string(3));
  if (!row.is_null(4)) out.set_created_at_ms(row.int64(4));
  if (!row.is_null(5)) out.set_model(row.string(5));
  if (!row.is_null(6)) out.set_tokens(row.int64(6));
  if (!row.is_null(7)) out.set_cost_usd(row.number_real(7));
  out.set_metadata_json(row.string(8));
  out.set_sender_json(row.string(9));
  if (!row.is_null(10)) out.set_provider(row.string(10));
  if (!row.is_null(11)) out.set_harness(row.string(11));
  if (!row.is_null(12)) out.set_client_id(row.string(12));
  out.set_id(row.string(13));
}

Status insert_message(const Database& db, const std::string& conversation, const proto::Message& m,
                      const std::string& id) {
  Statement put(db,
                "INSERT INTO messages(conversation_id, idx, role, content, parts_json, created_at, "
                "model, tokens, cost_usd, metadata, sender_json, provider, harness, client_id, id) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  put.text(conversation).number(m.idx()).text(m.role()).text(m.content()).text(m.parts_json());
  put.number_if(m.has_created_at_ms(), m.created_at_ms()).text_if(m.has_model(), m.model());
  put.number_if(m.has_tokens(), m.tokens()).real_if(m.has_cost_usd(), m.cost_usd());
  put.text(m.metadata_json()).text(m.sender_json());
  put.text_if(m.has_provider(), m.provider()).text_if(m.has_harness(), m.harness());
  put.text_if(m.has_client_id(), m.client_id()).text(m.has_id() ? m.id() : id);
  return put.run();
}

}  // namespace oqto::hstry
