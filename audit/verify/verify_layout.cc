#include <fcntl.h>
#include <string.h>

#include <algorithm>

#include "audit/format/json.h"
#include "audit/format/segment_file.h"
#include "audit/read/reader.h"
#include "audit/verify/verify_bundles.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {

std::vector<Hash> Verification::leaves(std::uint64_t from_entry, std::uint64_t to) {
  if (to <= from_entry || vain_tiles > kMaxVain) return {};
  std::uint64_t read = 0;
  auto hashes = TileStore(dir, to).leaves(from_entry, to, &read);
  constexpr std::uint64_t kMissing = 8;  // finding that none of 256 names is there
  if (hashes.empty()) vain_tiles += read + kMissing;
  return hashes;
}

void Verification::replace_from_tiles(std::uint64_t end) {
  if (end <= tree.size()) return;
  misses_seals = true;
  const auto hashes = leaves(tree.size(), end);
  if (hashes.empty()) is_complete = false;
  append(hashes);
}

void Verification::cannot_read(const std::string& where, const Error& error,
                               std::optional<std::uint64_t> entry) {
  const std::string why = std::string("cannot be read: ") + error.what +
                          (error.sys != 0 ? std::string(": ") + ::strerrordesc_np(error.sys) : "");
  if (!is_unreadable(error)) return find(where, why, entry);
  cannot_check(where, why, entry);
}

namespace {

// A segment is named after its first entry, and begins where the one before it ends.
void check_place(Verification& v, const std::string& name, std::uint64_t named,
                 std::string_view data) {
  const std::uint64_t expected = v.tree.size();
  const Batch batch = read_batch(data);
  const std::uint64_t first = batch.has_entries ? batch.first : named;
  if (named == expected || expected < v.from) return;
  if (first == expected) {
    return v.find(name, "begins with entry " + std::to_string(first) + ", but is not named after it",
                  first);
  }
  if (named < expected) {
    if (batch.has_entries) return;  // which is found to be out of place
    return v.find(name, "begins where other segments have entries: expected one of entry " +
                            std::to_string(expected));
  }
  if (v.has_unread_gap) {
    v.has_unread_gap = false;
  } else if (expected == 0 && v.report.batches == 0) {
    v.pruned = named;
    v.misses_seals = true;
  } else {
    v.find(name, entry_range(expected, named) + " before it are missing", expected);
  }
  v.replace_from_tiles(named);
}

Result<std::vector<std::uint64_t>> segments_of(Verification& v, const Fd& dir) {
  std::vector<std::uint64_t> firsts;
  for (const std::string& name : TRY(list_directory(dir))) {
    if (const auto first = parse_segment_name(name)) {
      firsts.push_back(*first);
    } else {
      v.find(std::string(kSegmentDir) + "/" + printable(name), "does not belong to the log");
    }
  }
  if (firsts.empty()) v.find(kSegmentDir, "holds no segment");
  return firsts;
}

void read_segments(Verification& v, const std::vector<std::uint64_t>& firsts) {
  BundleCheck bundles(v);
  for (const std::uint64_t first : firsts) {
    if (first < v.from) continue;
    const std::string name = std::string(kSegmentDir) + "/" + segment_name(first);
    if (v.damaged_bytes > Verification::kMaxDamaged) {
      return v.find(name, "and all behind it were not looked at: too much before is damaged", first);
    }
    const bool is_last = first == firsts.back();
    auto data = is_last ? read_newest_segment(v.dir, name) : read_log_file(v.dir, name, kMaxSegmentFile);
    if (!data) {
      v.has_unread_gap = v.has_unread_gap || is_unreadable(data.error());
      v.cannot_read(name, data.error(), first);
      continue;
    }
    ++v.report.files;
    const std::uint64_t defects = v.report.defects;
    const std::size_t size = data->size();
    check_place(v, name, first, *data);
    verify_segment(v, bundles, first, is_last, std::move(*data));
    if (v.report.defects != defects) v.damaged_bytes += size;
  }
}

}  // namespace

Status verify_segments(Verification& v) {
  auto dir = sys::open_beneath(v.dir, kSegmentDir, O_RDONLY | O_DIRECTORY);
  v.early_keys = {v.key};
  v.has_unread_gap = !dir && is_unreadable(dir.error());
  if (v.has_unread_gap) v.cannot_read(kSegmentDir, dir.error());
  if (v.has_unread_gap) return {};
  if (!dir) {
    v.find(kSegmentDir, "is missing: this directory is no audit log, or not all of it");
    return {};
  }
  const auto firsts = TRY(segments_of(v, *dir));
  if (firsts.empty()) v.from = 0;
  if (firsts.empty()) return {};
  // With `since`: from the segment on that holds the first entry behind it.
  const auto after = std::ranges::upper_bound(firsts, v.from);
  v.from = after == firsts.begin() ? 0 : *std::prev(after);
  if (v.from > firsts.front() && !find_keys_before(v, firsts)) v.from = 0;
  const bool has_keys = v.chain.last() != nullptr;
  if (v.from > 0) {
    v.pruned = firsts.front();
    v.replace_from_tiles(v.from);
    v.misses_seals = !has_keys;
  }
  if (firsts.front() > 0 && !has_keys) find_early_keys(v, firsts);
  read_segments(v, firsts);
  return {};
}

void verify_reach(Verification& v) {
  const std::uint64_t size = v.tree.size();
  if (v.report.checkpoint && v.report.checkpoint->size > size) {
    if (!v.has_unread_gap) {
      v.find(kSegmentDir,
             "lacks " + entry_range(size, v.report.checkpoint->size) + ", which " + kCheckpointFile +
                 " covers: removed, or copied before the checkpoint was",
             size);
    }
    v.replace_from_tiles(v.report.checkpoint->size);
  }
}

}  // namespace oqto::audit
