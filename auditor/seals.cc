// The seals of epochs, with the hashes that lead the tree's edge from each to the next, and from
// the last one to the checkpoint: who follows them has seen every seal in its place
// (docs/protocol.md).
#include <algorithm>

#include "audit/format/proof.h"
#include "audit/format/tile_store.h"
#include "auditor/answers.h"
#include "base/encoding.h"
#include "protocol/json_writer.h"

namespace oqto::auditor {
namespace {

using protocol::Code;
using protocol::Failure;
using protocol::JsonArray;
using protocol::JsonObject;

constexpr std::size_t kMaxSeals = 256;  // of one answer
constexpr const char* kLacking = "hash tiles are missing in the log directory";
constexpr std::size_t kMaxAnswerBytes = 512 * 1024;  // one seal always fits

// From one place to the next; nullopt: hash tiles are missing.
std::optional<std::string> growth(audit::TileStore& tiles, std::uint64_t from, std::uint64_t to) {
  const auto hashes = audit::prove_growth(
      from, to, [&tiles](unsigned level, std::uint64_t at) { return tiles.node(level, at); });
  if (!hashes) return std::nullopt;
  std::string bytes;
  for (const audit::Hash& hash : *hashes) bytes += audit::as_text(hash);
  return to_base64(audit::as_bytes(bytes));
}

Answers::Counted failed(Code code, std::string why) {
  return {std::unexpected(Failure{code, std::move(why)}), 0};
}

}  // namespace

Answers::Counted Answers::seals(const protocol::AuditSeals& args) {
  const auto published = view_.published();
  if (!published) return failed(Code::unavailable, published.error().what);
  const std::uint64_t size = published->checkpoint.size;
  // A log that was cut back has no seals to show, but the checkpoint that proves it.
  const std::uint64_t from = std::min(args.from, size);
  const std::uint64_t reached = std::min(size, follower_.state().next);
  protocol::AuditFilter filter;
  filter.events = {"epoch.seal"};
  const auto page =
      search_.run(filter, {.from = from, .to = reached, .ascending = true, .limit = kMaxSeals});
  if (!page) return failed(Code::unavailable, page.error().what);
  audit::TileStore tiles(view_.dir(), size);
  JsonArray seals;
  std::uint64_t at = from;
  bool is_all = !page->next && reached == size;
  for (const Row& row : page->rows) {
    const auto hashes = growth(tiles, at, row.index);
    if (!hashes) return failed(Code::unavailable, kLacking);
    JsonObject seal;
    seal.number("index", row.index).text("entry", row.entry).text("hashes", *hashes);
    seals.json(seal.str());
    at = row.index + 1;
    if (seals.bytes() > kMaxAnswerBytes && &row != &page->rows.back()) {
      is_all = false;
      break;
    }
  }
  if (!is_all && at == from) {
    return failed(Code::unavailable, "the index has not come so far yet: try again in a moment");
  }
  const std::uint64_t count = page->rows.size();
  JsonObject data;
  data.text("note", published->note).json("seals", seals.str());
  data.json("next", is_all ? "null" : std::to_string(at));
  if (is_all) {
    const auto hashes = growth(tiles, at, size);
    if (!hashes) return failed(Code::unavailable, kLacking);
    data.text("hashes", *hashes);
  }
  if (args.old_size) add_consistency(data, *args.old_size, size);
  return {data.str(), count};
}

}  // namespace oqto::auditor
