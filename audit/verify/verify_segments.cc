#include <algorithm>

#include "audit/format/json.h"
#include "audit/verify/frame_search.h"
#include "audit/verify/verify_batches.h"
#include "audit/verify/verify_bundles.h"
#include "audit/verify/verify_state.h"
#include "base/encoding.h"

namespace oqto::audit {
namespace {

std::string at_byte(std::size_t offset) {
  return " at byte " + std::to_string(offset);
}

// A batch as far as it can be read.
struct Part {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::vector<std::string_view> entries = {};
  std::vector<Hash> leaves = {};
  std::vector<std::uint64_t> no_json = {};
  std::vector<std::uint64_t> seals = {};
  std::string_view note = {};
  std::optional<Result<Checkpoint>> signed_tree = {};  // none: the note is lost
  std::string damage = {};                             // where, if the frame is damaged
};

class SegmentCheck {
 public:
  SegmentCheck(Verification& verification, BundleCheck& bundles, std::uint64_t first, bool is_last,
               std::string data)
      : v_(verification),
        bundles_(bundles),
        name_(std::string(kSegmentDir) + "/" + segment_name(first)),
        is_last_(is_last),
        data_(std::move(data)),
        search_(data_) {
    if (v_.chain.last() != nullptr) claimed_.add(*v_.chain.last());
    claimed_.add_claims(data_);
  }

  void run() {
    SegmentExaminer examiner(data_, {v_.key, claimed_}, v_.threads);
    while (offset_ < data_.size()) {
      if (search_.is_spent()) return give_up();
      ExaminedBatch examined = examiner.take(offset_);
      if (examined.batch.state == BatchState::complete) {
        const std::size_t length = examined.batch.length;
        take(complete_part(std::move(examined)));
        offset_ += length;
      } else if (is_tail(examined.batch)) {
        if (data_.find_first_not_of('\0', offset_) == data_.npos) return;  // room for the next ones
        v_.report.remarks.push_back(name_ + ": " + std::to_string(data_.size() - offset_) +
                                    " bytes of an unfinished batch at the end, which no checkpoint "
                                    "covers: auditd signs or drops it when it starts");
        return;
      } else {
        take_damaged(std::move(examined));
      }
    }
  }

 private:
  // What a writer leaves that is stopped, or copied from, in the middle of a batch.
  bool is_tail(const Batch& batch) {
    return is_last_ && batch.state == BatchState::unfinished &&
           search_.entries_at(offset_ + 1) == data_.npos && search_.note_at(offset_) == data_.npos;
  }

  void give_up() {
    v_.find(name_,
            "is full of beginnings of batches that are none: what is behind byte " +
                std::to_string(offset_) + " was not looked at",
            v_.tree.size());
    offset_ = data_.size();
  }

  static Part complete_part(ExaminedBatch examined) {
    Batch& batch = examined.batch;
    const std::uint64_t end = batch.first + batch.entries.size();
    return {.first = batch.first,
            .end = end,
            .entries = std::move(batch.entries),
            .leaves = std::move(examined.leaves),
            .no_json = std::move(examined.no_json),
            .seals = std::move(examined.seals),
            .note = batch.note,
            .signed_tree = std::move(examined.signed_tree)};
  }

  void take_damaged(ExaminedBatch examined) {
    const Batch& batch = examined.batch;
    if (!batch.has_entries) search_.spend(offset_);
    if (!batch.has_entries) return take_without_frame();
    const std::size_t length = batch.length;
    const auto note = read_note_frame(std::string_view(data_).substr(offset_ + length));
    Part part = complete_part(std::move(examined));
    part.signed_tree.reset();
    if (note && note->size >= part.first) {
      // Both frames are whole and do not fit together: what was signed decides.
      part.end = note->size;
      part.note = note->note;
      part.signed_tree = verify_note(note->note, {v_.key, claimed_});
    } else {
      v_.find(name_,
              "the checkpoint of " + entry_range(part.first, part.end) +
                  at_byte(offset_ + length) + " is damaged",
              part.first);
    }
    take(std::move(part));
    offset_ = std::min(data_.size(), offset_ + length + kNoteFrame);
  }

  // Nothing says where the batch ends: up to the next frame that is whole.
  void take_without_frame() {
    const std::string where = "the batch" + at_byte(offset_);
    const std::size_t note_at = search_.note_at(offset_);
    const std::size_t next_at = search_.entries_at(offset_ + 1);
    if (search_.is_spent()) return give_up();
    const std::uint64_t first = v_.tree.size();
    const std::string_view data(data_);
    if (note_at < next_at) {
      const auto note = *read_note_frame(data.substr(note_at));
      Part part{.first = first, .end = note.size, .note = note.note, .damage = where};
      part.entries = salvage_entries(data.substr(offset_, std::min(note_at - offset_, kMaxBody))).entries;
      if (part.entries.size() > kMaxBody / kMinEntry) part.entries.clear();
      for (const std::string_view entry : part.entries) part.leaves.push_back(leaf_hash(entry));
      part.signed_tree = verify_note(note.note, {v_.key, claimed_});
      take(std::move(part));
      offset_ = note_at + kNoteFrame;
    } else if (next_at != data_.npos) {
      const Batch next = read_batch(data.substr(next_at));
      v_.find(name_, where + " and its checkpoint are damaged: " + entry_range(first, next.first),
              first);
      v_.replace_from_tiles(next.first);
      offset_ = next_at;
    } else {
      v_.find(name_,
              where + " is damaged, and nothing behind it can be read: from " +
                  entry_range(first, first + 1) + " on",
              first);
      if (is_last_ && v_.claimed) v_.replace_from_tiles(v_.claimed->size);
      offset_ = data_.size();
    }
  }

  void take(Part part) {
    ++v_.report.batches;
    if (!is_in_place(part)) return;
    const std::uint64_t defects = v_.report.defects;
    const auto signed_root = check_note(part);
    const bool is_good = part.damage.empty() && append_if_signed(part.leaves, part.end, signed_root);
    if (!is_good) return explain(part, signed_root, defects);
    for (const std::uint64_t index : part.no_json) {
      v_.find(name_,
              "entry " + std::to_string(index) +
                  " was signed, but is no canonical JSON with its index as seq",
              index);
    }
    if (part.first == 0 && (part.seals.empty() || part.seals.front() != 0)) {
      v_.find(name_, "entry 0 is not the seal of epoch 0", 0);
    }
    for (const std::uint64_t index : part.seals) {
      verify_seal_entry(v_, name_, index, part.entries[index - part.first]);
    }
    if (signed_root) note_entries(part);
    const auto wanted = v_.notes.find(part.end);
    if (wanted != v_.notes.end()) wanted->second = part.note;
  }

  // What nobody signed says nothing of other files.
  void note_entries(const Part& part) {
    std::uint64_t index = part.first;
    for (const std::string_view entry : part.entries) {
      v_.blobs.add(index, entry);
      v_.keys.add(index, entry);
      v_.times.add(index, entry);
      bundles_.add(index++, entry);
    }
  }

  // What is missing before a batch is made up from the tiles; what was there already is left out.
  bool is_in_place(const Part& part) {
    const std::uint64_t expected = v_.tree.size();
    if (part.first == expected) {
      misplaced_ = false;
      return true;
    }
    const std::string where = "the batch" + at_byte(offset_);
    if (part.first > expected) {
      v_.find(name_, entry_range(expected, part.first) + " before " + where + " are missing",
              expected);
      v_.replace_from_tiles(part.first);
      return v_.tree.size() == part.first;
    }
    if (std::exchange(misplaced_, true)) return false;  // one run of them is one defect
    v_.find(name_,
            where + " begins with entry " + std::to_string(part.first) + ", expected " +
                std::to_string(expected),
            part.first);
    return false;
  }

  std::optional<Hash> check_note(const Part& part) {
    if (!part.signed_tree) return std::nullopt;
    Result<Checkpoint> checkpoint = *part.signed_tree;
    const EpochKeys* keys = claimed_.of_size(part.end);
    if (!checkpoint && v_.misses_seals && (keys == nullptr || keys->index < v_.tree.size())) {
      // The seal that named its epoch's key is among what is missing.
      checkpoint = keys != nullptr ? verify_checkpoint(part.note, keys->log) : verify_early(v_, part.note);
    }
    // One run of notes that lack the key of their epoch is one defect.
    const EpochKeys* of_epoch = keys != nullptr && !checkpoint &&
                                        verify_checkpoint(part.note, keys->log) ? keys : nullptr;
    if (of_epoch != nullptr && std::exchange(lacks_epoch_key_, true)) return std::nullopt;
    if (of_epoch == nullptr) lacks_epoch_key_ = false;
    if (!checkpoint || checkpoint->size != part.end) {
      v_.find(name_,
              "the checkpoint of " + entry_range(part.first, part.end) + ": " +
                  (checkpoint ? "signed for another size" : checkpoint.error().what),
              part.first);
      return std::nullopt;
    }
    return checkpoint->root;
  }

  // Without a root to compare with, the next one will show it.
  bool append_if_signed(const std::vector<Hash>& leaves, std::uint64_t end,
                        const std::optional<Hash>& root) {
    const std::uint64_t size = v_.tree.size();
    if (!root) v_.unsigned_entries += leaves.size();
    if (v_.unsigned_entries > Verification::kMaxUnsigned) {
      v_.is_complete = false;
      return true;
    }
    v_.append(leaves);
    if (!root || !v_.is_complete) return true;
    if (v_.tree.size() == end && v_.tree.root() == *root) {
      v_.unsigned_entries = 0;
      return true;
    }
    v_.tree.truncate(size);
    return false;
  }

  // The batch is not what was signed. With tile/0's hashes, if they are, the entry can be named.
  void explain(const Part& part, const std::optional<Hash>& signed_root, std::uint64_t defects) {
    const bool can_tell = signed_root && v_.is_complete;
    const auto hashes = can_tell ? v_.leaves(part.first, part.end) : std::vector<Hash>();
    const bool are_signed =
        can_tell && !hashes.empty() && append_if_signed(hashes, part.end, signed_root);
    const bool is_intact =
        can_tell && !are_signed && append_if_signed(part.leaves, part.end, signed_root);
    if (!are_signed && !is_intact) {
      v_.is_complete = false;
      v_.append(part.leaves);
    }
    const std::string where = part.damage.empty() ? "the batch" + at_byte(offset_) : part.damage;
    if (are_signed) compare(part, hashes, where);
    if (v_.report.defects != defects) return;
    const bool as_signed = is_intact || (are_signed && part.leaves == hashes);
    v_.find(name_,
            where + " (" + entry_range(part.first, part.end) + ") " +
                (as_signed ? "has a damaged frame; its entries are as signed"
                           : "does not have the root that was signed"),
            part.first);
  }

  // Names what differs between the entries that stand there and those that were signed.
  void compare(const Part& part, const std::vector<Hash>& hashes, const std::string& where) {
    if (part.leaves.size() == hashes.size()) return name_altered(part, hashes);
    const auto [found, expected] = std::ranges::mismatch(part.leaves, hashes);
    const auto before = static_cast<std::size_t>(expected - hashes.begin());
    std::size_t behind = 0;
    const std::size_t most = std::min(part.leaves.size(), hashes.size()) - before;
    while (behind < most && part.leaves.rbegin()[static_cast<std::ptrdiff_t>(behind)] ==
                                hashes.rbegin()[static_cast<std::ptrdiff_t>(behind)]) {
      ++behind;
    }
    const std::size_t lost = hashes.size() - before - behind;
    const std::size_t foreign = part.leaves.size() - before - behind;
    const std::uint64_t at = part.first + before;
    std::string what = where + ": ";
    if (lost > 0) what += entry_range(at, at + lost) + " cannot be read";
    if (foreign > 0) {
      what += (lost > 0 ? "; " : "") + std::to_string(foreign) +
              " that nobody signed stand where entry " + std::to_string(at) + " is expected";
    }
    v_.find(name_, what, at);
  }

  void name_altered(const Part& part, const std::vector<Hash>& hashes) {
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      if (part.leaves[i] == hashes[i]) continue;
      const std::uint64_t index = part.first + i;
      v_.find(name_,
              "entry " + std::to_string(index) + " was altered: its leaf hash is " +
                  short_hex(part.leaves[i]) + ", signed was " + short_hex(hashes[i]),
              index);
    }
  }

  Verification& v_;
  BundleCheck& bundles_;
  const std::string name_;
  const bool is_last_;
  const std::string data_;
  FrameSearch search_;
  KeyChain claimed_;  // the last known epoch, and what the seals in this segment say
  std::size_t offset_ = 0;
  bool misplaced_ = false;
  bool lacks_epoch_key_ = false;
};

}  // namespace

void verify_segment(Verification& verification, BundleCheck& bundles, std::uint64_t first, bool is_last,
                    std::string data) {
  SegmentCheck(verification, bundles, first, is_last, std::move(data)).run();
}

}  // namespace oqto::audit
