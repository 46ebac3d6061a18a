// What the parts of the verifier share: verify_layout.cc and verify_segments.cc read the segments,
// verify_tiles.cc compares the derived files with them.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "audit/format/epoch.h"
#include "audit/format/tile_store.h"
#include "audit/read/log_tree.h"
#include "audit/verify/verify.h"
#include "audit/verify/verify_blobs.h"
#include "audit/verify/verify_keys.h"

namespace oqto::audit {

class BundleCheck;

struct Verification {
  const Fd& dir;
  const VerifierKey& key;
  unsigned threads = 1;
  std::optional<VerifierKey> first_epoch = {};
  Report report = {};
  LogTree tree = {};            // over all signed entries, as far as they can be established
  KeyChain chain = {};          // as the seals that were read say
  // Of a pruned log: who signed before the first seal that is left. Empty: no seal names that key any
  // more, as the first one is a rotation itself.
  std::vector<VerifierKey> early_keys = {};
  bool has_unsigned_start = false;  // of those, only the trees were compared
  bool signed_first_seal = false;  // the given key did, which the chain need not name then
  bool misses_seals = false;    // entries before this were not read: seals among them are unknown
  std::optional<Checkpoint> claimed = {};  // by the file `checkpoint`, before its signatures are known
  bool is_complete = true;      // no leaf is uncertain: roots and tiles can be compared
  std::uint64_t from = 0;       // entries before it are not read
  std::map<std::uint64_t, std::string> notes = {};  // of sizes that are wanted as evidence
  std::set<std::uint64_t> bundles = {};  // full ones that equal the segments, byte by byte

  std::uint64_t pruned = 0;  // where the first segment begins; what is before it is known by its hashes
  BlobNotes blobs = {};
  KeyNotes keys = KeyNotes(dir);
  TimeNotes times = {};
  // Entries at the end of the tree are in a segment that cannot be read: that they lack is no defect.
  bool has_unread_gap = false;
  bool has_unread_tiles = false;  // whether all are there cannot be told
  // What a hostile directory may cost beyond what an honest one of its size does.
  static constexpr std::uint64_t kMaxDamaged = std::uint64_t{2} << 30;   // bytes of damaged segments
  static constexpr std::uint64_t kMaxUnsigned = std::uint64_t{4} << 20;  // entries without a signed root
  static constexpr std::uint64_t kMaxVain = 32 * 1024;                   // tiles that led nowhere
  std::uint64_t damaged_bytes = 0;
  std::uint64_t unsigned_entries = 0;
  std::uint64_t vain_tiles = 0;

  void find(std::string where, std::string what, std::optional<std::uint64_t> entry = {}) {
    ++report.defects;
    if (report.findings.size() == Report::kMaxFindings) return;
    report.findings.push_back({std::move(where), std::move(what), entry});
  }
  void remark(std::string what) { report.remarks.push_back(std::move(what)); }
  // A file that could not be read: no defect if the reason is ours, not the file's.
  void cannot_read(const std::string& where, const Error& error,
                   std::optional<std::uint64_t> entry = {});
  void cannot_check(std::string where, std::string why, std::optional<std::uint64_t> entry = {}) {
    ++report.unreadable;
    if (report.not_checked.size() < Report::kMaxFindings) report.not_checked.push_back({std::move(where), std::move(why), entry});
  }
  // From the tiles; empty: not all of them are there.
  std::vector<Hash> leaves(std::uint64_t from, std::uint64_t to);
  // For entries that are lost, or not to be read: their hashes, so that what follows can still be
  // checked.
  void replace_from_tiles(std::uint64_t end);
  [[nodiscard]] bool has_given_key() const { return signed_first_seal || chain.has_log_key(key); }
  void append(const std::vector<Hash>& leaves) {
    for (const Hash& leaf : leaves) tree.append(leaf);
  }
};

Status verify_segments(Verification& verification);  // verify_layout.cc
// One segment, which begins where the tree ends. verify_segments.cc
void verify_segment(Verification& verification, BundleCheck& bundles, std::uint64_t first, bool is_last,
                    std::string data);
// After it: whether the segments hold what the checkpoint signs.
void verify_reach(Verification& verification);
// verify_seals.cc: an entry that says that it is a seal, once the tree before it is established.
void verify_seal_entry(Verification& verification, const std::string& where, std::uint64_t index,
                       std::string_view entry);
// With `since`: the keys of the epoch that the first entry to be read is in, from a seal that the
// signed tree holds. False: they are not to be had.
bool find_keys_before(Verification& verification, const std::vector<std::uint64_t>& segments);
// Of a pruned log: looks ahead to the first seal that is left.
void find_early_keys(Verification& verification, const std::vector<std::uint64_t>& segments);
// A checkpoint before that seal: which of the log's keys was in use, only the seal says.
Result<Checkpoint> verify_early(Verification& verification, std::string_view note);
// Names what is in tile/ now: before the segments are read, so that a log in use is not found to have tiles
// of entries that came later.
std::vector<std::string> list_tiles(Verification& verification);
void verify_tiles(Verification& verification, const std::vector<std::string>& listed);

std::string entry_range(std::uint64_t first, std::uint64_t end);  // "entry 7", "entries 7..9"
std::string short_hex(const Hash& hash);

}  // namespace oqto::audit
