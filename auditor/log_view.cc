#include "auditor/log_view.h"

#include <fcntl.h>

#include <cstdlib>

#include "audit/format/format.h"
#include "audit/format/proof.h"
#include "audit/format/tile_store.h"
#include "audit/read/entry_reader.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::auditor {
namespace {

constexpr std::size_t kMaxNoteFile = 64 * 1024;

std::unexpected<Error> lacking() {
  return fail(Errc::not_found, "hash tiles are missing");
}

}  // namespace

Result<LogView> LogView::open(const std::string& dir) {
  return LogView(TRY(sys::open_dir(dir.c_str())));
}

Result<LogView::Published> LogView::published() const {
  Published published;
  auto note = audit::read_log_file(dir_, audit::kCheckpointFile, kMaxNoteFile);
  if (!note && note.error().sys == ENOENT) {
    return fail(Errc::unavailable, "the log has no checkpoint yet: nothing has been recorded");
  }
  published.note = TRY(std::move(note));
  const auto checkpoint = audit::read_checkpoint(published.note);
  if (!checkpoint) return fail(Errc::bad_message, "the log's checkpoint file is no checkpoint");
  published.checkpoint = *checkpoint;
  return published;
}

Result<std::string> LogView::entry(std::uint64_t index, std::uint64_t size) {
  const std::uint64_t tile = index / audit::kTileWidth;
  const std::size_t place = index % audit::kTileWidth;
  audit::SplitBody split;
  if (bundle_ == tile) split = audit::split_body(bundle_bytes_);
  if (split.entries.size() <= place) {
    auto bytes =
        audit::read_log_file(dir_, audit::tile_path(audit::kEntriesLevel, tile, audit::kTileWidth),
                             audit::kMaxTileBytes);
    const std::uint64_t width = size - std::min(size, tile * audit::kTileWidth);
    for (std::size_t w = static_cast<std::size_t>(width);
         !bytes && w > place && w < audit::kTileWidth; ++w) {
      bytes = audit::read_log_file(dir_, audit::tile_path(audit::kEntriesLevel, tile, w),
                                   audit::kMaxTileBytes);
    }
    if (!bytes) return fail(Errc::not_found, "this entry is not in the log directory");
    bundle_bytes_ = std::move(*bytes);
    bundle_ = tile;
    split = audit::split_body(bundle_bytes_);
  }
  if (split.entries.size() <= place)
    return fail(Errc::bad_message, "the entry's bundle is damaged");
  return std::string(split.entries[place]);
}

Result<std::vector<audit::Hash>> LogView::prove_inclusion(std::uint64_t index,
                                                          std::uint64_t size) const {
  if (index >= size)
    return fail(Errc::limit, "the published checkpoint does not cover this entry yet");
  audit::TileStore tiles(dir_, size);
  auto hashes = audit::prove_inclusion(
      index, size, [&tiles](unsigned level, std::uint64_t at) { return tiles.node(level, at); });
  if (!hashes) return lacking();
  return std::move(*hashes);
}

Result<std::vector<audit::Hash>> LogView::prove_consistency(std::uint64_t old_size,
                                                            std::uint64_t size) const {
  if (old_size > size) return fail(Errc::limit, "the published checkpoint is of a smaller tree");
  audit::TileStore tiles(dir_, size);
  auto hashes = audit::prove_consistency(
      old_size, size, [&tiles](unsigned level, std::uint64_t at) { return tiles.node(level, at); });
  if (!hashes) return lacking();
  return std::move(*hashes);
}

LogView::Opened LogView::open_sealed(std::uint64_t index, std::string_view entry) {
  const auto read = audit::ReadEntry::parse(entry);
  if (!read || read->raw("sealed").empty()) return {};
  const auto sealed = audit::json_members(read->raw("sealed"));
  if (!sealed) return {};
  audit::SealedFor what{0, {}, index};
  std::string cipher;
  for (const audit::JsonMember& member : *sealed) {
    const std::string text = audit::value_text(member.value);
    if (member.key == "tenant")
      what.tenant = static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
    if (member.key == "day") what.day = text;
    if (member.key == "c") cipher = text;
  }
  audit::KeyReader keys(
      dir_);  // not kept: what was erased a moment ago must not be opened any more
  const audit::FoundKey& key = keys.find(what.tenant, what.day);
  if (key.state == audit::KeyState::present) {
    const auto bytes = from_base64(cipher);
    auto plaintext = bytes ? audit::open_text(key.key, what, audit::as_text(*bytes)) : std::nullopt;
    if (plaintext) return {Opening::opened, std::move(*plaintext)};
  }
  const bool erased = key.state == audit::KeyState::erased || key.was_erased;
  return {erased ? Opening::erased : Opening::no_key, {}};
}

}  // namespace oqto::auditor
