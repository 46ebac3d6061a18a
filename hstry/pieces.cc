#include "hstry/pieces.h"

#include <algorithm>

#include "hstry.pb.h"
#include "hstry/store.h"

namespace oqto::hstry {

Status insert_piece(const Database& db, const std::string& conversation, const proto::PutPartRequest& piece) {
  if (piece.message_id().empty() || piece.part_id().empty() || piece.offset() < 0 || piece.data().empty()) {
    return fail(Errc::invalid, "a piece needs message_id, part_id, an offset of 0 or more, and data");
  }
  const std::size_t names = std::max(piece.message_id().size(), piece.part_id().size());
  const auto bytes = static_cast<std::int64_t>(piece.data().size());
  if (names > kMaxIdBytes || piece.data().size() > kMaxPieceBytes || piece.offset() > kMaxPartBytes - bytes) {
    return fail(Errc::limit, "a piece has at most 8 MiB, a part 256 MiB, an id 512 bytes");
  }
  Statement put(db, "INSERT OR REPLACE INTO part_pieces(conversation_id, message_id, part_id, start, data) "
                    "VALUES(?, ?, ?, ?, ?)");
  put.text(conversation).text(piece.message_id()).text(piece.part_id()).number(piece.offset());
  return put.blob(piece.data()).run();
}

Status read_pieces(const Database& db, const std::string& conversation, const proto::GetPartRequest& wanted,
                   proto::GetPartResponse& out) {
  if (wanted.offset() < 0 || wanted.length() < 0 || static_cast<std::size_t>(wanted.length()) > kMaxPieceBytes) {
    return fail(Errc::invalid, "offset and length cannot be negative, and a length is at most 8 MiB");
  }
  Statement size(db, "SELECT max(start + length(data)) FROM part_pieces "
                     "WHERE conversation_id = ? AND message_id = ? AND part_id = ?");
  size.text(conversation).text(wanted.message_id()).text(wanted.part_id());
  if (!TRY(size.step()) || size.is_null(0)) return fail(Errc::not_found, "there is no such part");
  out.set_total(size.int64(0));
  Statement row(db, "SELECT start, data FROM part_pieces WHERE conversation_id = ?1 AND message_id = ?2 AND "
                    "part_id = ?3 AND start < ?5 AND start + length(data) > ?4 ORDER BY start");
  row.text(conversation).text(wanted.message_id()).text(wanted.part_id());
  row.number(wanted.offset()).number(wanted.offset() + wanted.length());
  std::int64_t at = wanted.offset();
  const std::int64_t end = wanted.offset() + wanted.length();
  while (TRY(row.step())) {
    const std::string data = row.blob(1);
    const std::int64_t start = row.int64(0);
    if (start > at) break;  // a gap: what comes before it is all that can be had
    const auto skip = static_cast<std::size_t>(at - start);
    if (skip >= data.size()) continue;
    const std::size_t take = std::min(data.size() - skip, static_cast<std::size_t>(end - at));
    out.mutable_data()->append(data, skip, take);
    at += static_cast<std::int64_t>(take);
  }
  return {};
}

Status copy_messages(const Database& db, const std::string& from, const std::string& to, std::int64_t before_idx,
                     const std::string& suffix) {
  // Without the clients' ids: what they name was said in the other conversation.
  Statement copy(db,
                 "INSERT INTO messages(id, conversation_id, idx, role, content, parts_json, created_at, model, "
                 "tokens, cost_usd, metadata, sender_json, provider, harness) "
                 "SELECT id || ?1, ?2, idx, role, content, parts_json, created_at, model, tokens, cost_usd, metadata, "
                 "sender_json, provider, harness FROM messages WHERE conversation_id = ?3 AND idx < ?4");
  return copy.text(suffix).text(to).text(from).number(before_idx).run();
}

Status copy_pieces(const Database& db, const std::string& from, const std::string& to, const std::string& suffix) {
  Statement copy(
      db,
      "INSERT INTO part_pieces(conversation_id, message_id, part_id, start, data) "
      "SELECT ?2, message_id || ?1, part_id, start, data FROM part_pieces "
      "WHERE conversation_id = ?3 AND message_id || ?1 IN (SELECT id FROM messages WHERE conversation_id = ?2)");
  return copy.text(suffix).text(to).text(from).run();
}

}  // namespace oqto::hstry
