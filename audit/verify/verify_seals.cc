#include <fcntl.h>

#include <algorithm>

#include "audit/format/segment_file.h"
#include "audit/verify/verify_state.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

// A seal behind entries that were not read can only be held against the log's key: the one before or,
// where none is known, the one that it names, which must lead to the given one.
Status verify_without_chain(Verification& v, std::string_view note, const Seal& seal) {
  const auto opened = read_note(note);
  if (!opened) return fail(Errc::bad_message, "is no seal");
  const EpochKeys* last = v.chain.last();
  if (last == nullptr) v.signed_first_seal = verify_signature(*opened, v.key).has_value();
  const bool is_of_log = seal.log_key.name == v.key.name;
  if (is_of_log && verify_signature(*opened, last != nullptr ? last->log : seal.log_key)) return {};
  return fail(Errc::denied, "is not signed with the log's key");
}

}  // namespace

void verify_seal_entry(Verification& v, const std::string& where, std::uint64_t index,
                       std::string_view entry) {
  const std::string what = "the seal in entry " + std::to_string(index) + " ";
  const auto note = seal_in_entry(entry);
  const auto seal = note ? read_seal(*note) : std::nullopt;
  if (!seal) return v.find(where, what + "is no seal", index);
  const bool is_behind_gap = v.misses_seals && index > 0;
  const Status status =
      is_behind_gap ? verify_without_chain(v, *note, *seal) : verify_seal(*note, v.chain.last());
  if (!status) {
    v.find(where, what + status.error().what, index);
  } else if (seal->size != index) {
    v.find(where, what + "seals " + std::to_string(seal->size) + " entries", index);
  } else if (index == 0 && v.first_epoch && *v.first_epoch != seal->epoch_key) {
    v.find(where, what + "begins epoch 0 with another key than you were given: a history of its own",
           index);
  } else if (v.is_complete && v.tree.root_at(index) != seal->root) {
    v.find(where, what + "seals another tree: its root is " + short_hex(seal->root), index);
  }
  if (is_behind_gap && v.chain.last() == nullptr) {
    v.report.remarks.push_back(
        "what is before entry " + std::to_string(index) +
        " was checked with the log's key alone, the seals of its epochs not being there: compare it "
        "with a checkpoint that you kept");
  }
  if (std::exchange(v.has_unsigned_start, false)) {
    v.report.remarks.push_back(
        "the checkpoints before entry " + std::to_string(index) +
        " are signed with a key of the log that no seal names any more: only their trees were "
        "compared");
  }
  v.misses_seals = false;
  v.chain.add({seal->epoch, index, seal->log_key, seal->epoch_key});
}

void find_early_keys(Verification& v, const std::vector<std::uint64_t>& segments) {
  for (const std::uint64_t first : segments) {
    const std::string name = std::string(kSegmentDir) + "/" + segment_name(first);
    const auto data = read_log_file(v.dir, name, kMaxSegment + 2 * kMaxBody);
    if (!data) return;  // which is found where it is read
    KeyChain claims;
    claims.add_claims(*data);
    if (claims.links().empty()) continue;
    const EpochKeys& first_claim = claims.links().front();
    if (first_claim.is_rotation) {
      v.early_keys.clear();
    } else if (first_claim.log != v.key) {
      v.early_keys.push_back(first_claim.log);
    }
    return;
  }
}

Result<Checkpoint> verify_early(Verification& v, std::string_view note) {
  Result<Checkpoint> checkpoint = fail(Errc::denied, "not signed by the log's key");
  for (const VerifierKey& key : v.early_keys) {
    checkpoint = verify_checkpoint(note, key);
    if (checkpoint) return checkpoint;
  }
  const auto claimed = read_checkpoint(note);
  if (!v.early_keys.empty() || !claimed || claimed->origin != v.key.name) return checkpoint;
  v.has_unsigned_start = true;
  return *claimed;
}

bool find_keys_before(Verification& v, const std::vector<std::uint64_t>& segments) {
  const auto end = std::ranges::lower_bound(segments, v.from);
  for (auto first = end; first != segments.begin();) {
    const std::string name = std::string(kSegmentDir) + "/" + segment_name(*--first);
    const auto data = read_log_file(v.dir, name, kMaxSegment + 2 * kMaxBody);
    if (!data) return false;
    KeyChain claims;
    claims.add_claims(*data);
    const EpochKeys* keys = claims.of_size(v.from);
    if (keys == nullptr) continue;
    const auto leaf = TileStore(v.dir, v.from).leaves(keys->index, keys->index + 1);
    if (leaf.empty() || leaf.front() != keys->leaf || keys->log != v.key) return false;
    v.chain.add(*keys);
    return true;
  }
  return segments.front() > 0;  // those before it were pruned
}

}  // namespace oqto::audit
