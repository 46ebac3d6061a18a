// Recordings: entries of `recording.chunk` name the pieces, the log's blobs have them. The browser
// gets what a blob opens to, salt included, and compares it with what the entry commits to, which it
// has the proof of.
#include <algorithm>

#include "audit/format/format.h"
#include "audit/format/tile_store.h"
#include "audit/read/entry_reader.h"
#include "audit/read/open_entry.h"
#include "auditor/answers.h"
#include "base/encoding.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {
namespace {

using protocol::Code;
using protocol::Failure;
using protocol::JsonArray;
using protocol::JsonObject;

constexpr std::size_t kMaxPieces = 64;              // of one answer
constexpr std::size_t kMaxPieceBytes = 256 * 1024;  // longer ones are for `oqto-audit replay`
constexpr std::size_t kMaxAnswerBytes = 512 * 1024;

std::optional<audit::BlobReference> piece_of(std::string_view entry) {
  const auto blobs = audit::blobs_of(entry);
  const auto found = std::ranges::find(blobs, "recording_blob", &audit::BlobReference::field);
  if (found == blobs.end()) return std::nullopt;
  return *found;
}

std::optional<std::string> plaintext_of(const Fd& log, const audit::BlobReference& blob) {
  if (blob.bytes > kMaxPieceBytes) return std::nullopt;
  const auto stored = audit::read_log_file(
      log, audit::blob_path(blob.sha256), kMaxPieceBytes + audit::kSealOverhead + audit::kSealSalt);
  if (!stored) return std::nullopt;
  audit::KeyReader keys(log);
  const audit::FoundKey& key = keys.find(blob.tenant, blob.day);
  if (key.state != audit::KeyState::present) return std::nullopt;
  return audit::open_text(key.key, {.tenant = blob.tenant, .day = blob.day}, *stored);
}

std::string piece_json(const LogView& view, std::uint64_t size, const Row& row,
                       const audit::BlobReference& blob) {
  const Fd& log = view.dir();
  const auto proof = view.prove_inclusion(row.index, size);
  JsonObject piece;
  piece.number("index", row.index).text("entry", row.entry);
  piece.json("proof", proof ? hashes_json(*proof) : "null");
  if (const auto plaintext = plaintext_of(log, blob)) {
    return piece.text("data", to_base64(audit::as_bytes(*plaintext))).str();
  }
  audit::KeyReader keys(log);
  const auto state = blob.bytes > kMaxPieceBytes
                         ? std::string_view("is too long for a browser")
                         : audit::blob_state_text(audit::open_stored_blob(log, blob, keys).state);
  return piece.text("state", state).str();
}

}  // namespace

Answers::Counted Answers::recording(const protocol::AuditRecording& args) {
  const auto published = view_.published();
  if (!published) {
    return {std::unexpected(Failure{Code::unavailable, published.error().what}), 0};
  }
  const std::uint64_t size = published->checkpoint.size;
  const auto text = search_.entry(args.index);
  const auto entry = text ? audit::ReadEntry::parse(*text) : std::nullopt;
  const auto wanted = text ? piece_of(*text) : std::nullopt;
  if (!entry || !wanted || entry->text("event") != "recording.chunk") {
    return {std::unexpected(Failure{Code::not_found, "this entry is no piece of a recording"}), 0};
  }
  protocol::AuditFilter filter;
  filter.events = {"recording.chunk"};
  filter.terminal = entry->text("fields.terminal");
  const auto page = search_.run(filter, {.from = 0,
                                         .to = protocol::kMaxAuditIndex,
                                         .ascending = true,
                                         .limit = args.chunk + kMaxPieces});
  if (!page) return {std::unexpected(Failure{Code::unavailable, page.error().what}), 0};
  JsonArray pieces;
  std::uint64_t next = args.chunk;
  bool is_all = !page->next;
  for (const Row& row : page->rows) {
    const auto read = audit::ReadEntry::parse(row.entry);
    const auto blob = piece_of(row.entry);
    // Another account may name any terminal it likes; its pieces are its own recording.
    if (!read || !blob || blob->tenant != wanted->tenant) continue;
    const std::uint64_t chunk = read->number("fields.chunk");
    if (chunk != next) continue;
    if (pieces.bytes() > kMaxAnswerBytes / 2) {
      is_all = false;
      break;
    }
    pieces.json(piece_json(view_, size, row, *blob));
    ++next;
  }
  JsonObject data;
  data.text("note", published->note);
  if (args.old_size) add_consistency(data, *args.old_size, size);
  data.json("pieces", pieces.str()).json("next", is_all ? "null" : std::to_string(next));
  return {data.str(), next - args.chunk};
}

}  // namespace oqto::auditor
