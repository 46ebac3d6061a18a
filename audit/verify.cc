#include "audit/verify.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "audit/json.h"
#include "audit/segment_file.h"
#include "audit/verify_state.h"
#include "base/encoding.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxNoteFile = 64 * 1024;

std::string at_byte(std::size_t offset) {
  return " at byte " + std::to_string(offset);
}

class SegmentCheck {
 public:
  SegmentCheck(Verification& verification, std::uint64_t first, bool is_last, std::string data)
      : v_(verification),
        name_(std::string(kSegmentDir) + "/" + segment_name(first)),
        is_last_(is_last),
        data_(std::move(data)) {}

  void run() {
    while (offset_ < data_.size()) {
      const std::string_view rest = std::string_view(data_).substr(offset_);
      const Batch batch = read_batch(rest);
      if (batch.state == BatchState::complete) {
        take(batch.first, batch.entries, batch.first + batch.entries.size(), batch.note, "");
        offset_ += batch.length;
      } else if (is_tail(batch)) {
        v_.report.remarks.push_back(name_ + ": " + std::to_string(rest.size()) +
                                    " bytes of an unfinished batch at the end: signed by nobody, "
                                    "acknowledged to nobody");
        return;
      } else {
        take_damaged(batch);
      }
    }
  }

 private:
  // What a writer leaves that is stopped, or copied from, in the middle of a batch.
  bool is_tail(const Batch& batch) const {
    return is_last_ && batch.state == BatchState::unfinished &&
           find_entries_frame(data_, offset_ + 1) == data_.npos &&
           find_note_frame(data_, offset_) == data_.npos;
  }

  void take_damaged(const Batch& batch) {
    const std::string where = "the batch" + at_byte(offset_);
    if (batch.has_entries) {
      v_.find(name_, "the checkpoint of " +
                         entry_range(batch.first, batch.first + batch.entries.size()) +
                         at_byte(offset_ + batch.length) + " is damaged");
      take(batch.first, batch.entries, batch.first + batch.entries.size(), {}, "");
      offset_ = std::min(data_.size(), offset_ + batch.length + kNoteFrame);
      return;
    }
    const std::size_t note_at = find_note_frame(data_, offset_);
    const std::size_t next_at = find_entries_frame(data_, offset_ + 1);
    const std::uint64_t first = v_.leaves.size();
    const std::size_t frame_end = std::min({note_at, next_at, data_.size()});
    const std::string_view frame = std::string_view(data_).substr(offset_, frame_end - offset_);
    if (note_at < next_at) {
      const auto note = *read_note_frame(std::string_view(data_).substr(note_at));
      take(first, salvage_entries(frame).entries, note.size, note.note, where);
      offset_ = note_at + kNoteFrame;
    } else if (next_at != data_.npos) {
      const Batch next = read_batch(std::string_view(data_).substr(next_at));
      v_.find(name_, where + " and its checkpoint are damaged: " + entry_range(first, next.first));
      replace_from_tiles(next.first);
      offset_ = next_at;
    } else {
      const std::uint64_t end = v_.report.checkpoint ? v_.report.checkpoint->size : first;
      v_.find(name_, where + " is damaged, and nothing behind it can be read: from " +
                         entry_range(first, first + 1) + " on");
      if (is_last_) replace_from_tiles(end);
      offset_ = data_.size();
    }
  }

  // One batch: the entries that were read, where they should end, and the note that signs them.
  // `damage` is empty, or says where the frame is damaged.
  void take(std::uint64_t first, const std::vector<std::string_view>& entries, std::uint64_t end,
            std::string_view note, const std::string& damage) {
    ++v_.report.batches;
    if (first != v_.leaves.size()) {
      v_.find(name_, "the batch" + at_byte(offset_) + " begins with entry " +
                         std::to_string(first) + ", expected " + std::to_string(v_.leaves.size()));
      v_.is_complete = false;
      return;
    }
    std::vector<Hash> found;
    for (const std::string_view entry : entries) found.push_back(leaf_hash(entry));
    const std::size_t findings = v_.report.findings.size();
    const auto signed_root = check_note(first, end, note);
    if (!damage.empty() || (signed_root && !matches(found, end, *signed_root))) {
      explain(first, end, found, signed_root, damage, findings);
    } else {
      check_content(first, entries);
      accept(found);
    }
  }

  std::optional<Hash> check_note(std::uint64_t first, std::uint64_t end, std::string_view note) {
    if (note.empty()) return std::nullopt;
    const auto checkpoint = verify_checkpoint(note, v_.key);
    if (!checkpoint || checkpoint->size != end) {
      v_.find(name_, "the checkpoint of " + entry_range(first, end) + ": " +
                         (checkpoint ? "signed for another size" : checkpoint.error().what));
      return std::nullopt;
    }
    return checkpoint->root;
  }

  bool matches(const std::vector<Hash>& hashes, std::uint64_t end, const Hash& root) const {
    if (!v_.is_complete) return true;  // reported already: every later root differs
    Tree tree = v_.tree;
    for (const Hash& hash : hashes) tree.append(hash);
    return tree.size() == end && tree.root() == root;
  }

  // The batch is not what was signed. With tile/0's hashes, if they are, the entry can be named.
  void explain(std::uint64_t first, std::uint64_t end, const std::vector<Hash>& found,
               const std::optional<Hash>& signed_root, const std::string& damage,
               std::size_t findings) {
    const std::vector<Hash> hashes = hashes_from_tiles(v_.dir, first, end);
    const bool are_signed =
        signed_root && v_.is_complete && !hashes.empty() && matches(hashes, end, *signed_root);
    const std::string where = damage.empty() ? "the batch" + at_byte(offset_) : damage;
    if (are_signed) {
      for (std::size_t i = 0; i < std::min(found.size(), hashes.size()); ++i) {
        if (found[i] == hashes[i]) continue;
        v_.find(name_, "entry " + std::to_string(first + i) + " was altered: its leaf hash is " +
                           short_hex(found[i]) + ", signed was " + short_hex(hashes[i]));
      }
      if (found.size() < hashes.size()) {
        v_.find(name_, where + ": " + entry_range(first + found.size(), end) + " cannot be read");
      }
    }
    if (v_.report.findings.size() == findings) {
      const bool intact = signed_root && matches(found, end, *signed_root);
      v_.find(name_, where + " (" + entry_range(first, end) + ") " +
                         (intact ? "has a damaged frame; its entries are as signed"
                                 : "does not have the root that was signed"));
    }
    if (are_signed) return accept(hashes);
    if (!signed_root || !matches(found, end, *signed_root)) v_.is_complete = false;
    accept(found);
  }

  void check_content(std::uint64_t index, const std::vector<std::string_view>& entries) {
    for (const std::string_view entry : entries) {
      const auto members = json_members(entry);
      if (!members || members->empty() || members->front().key != "seq" ||
          members->front().value != std::to_string(index)) {
        v_.find(name_, "entry " + std::to_string(index) +
                           " was signed, but is no canonical JSON with its index as seq");
      }
      ++index;
    }
  }

  void accept(const std::vector<Hash>& hashes) {
    for (const Hash& hash : hashes) {
      v_.leaves.push_back(hash);
      v_.tree.append(hash);
    }
  }

  // For entries that are lost: their hashes, so that what follows can still be checked.
  void replace_from_tiles(std::uint64_t end) {
    if (end <= v_.leaves.size()) return;
    const auto hashes = hashes_from_tiles(v_.dir, v_.leaves.size(), end);
    if (hashes.empty()) v_.is_complete = false;
    accept(hashes);
  }

  Verification& v_;
  const std::string name_;
  const bool is_last_;
  const std::string data_;
  std::size_t offset_ = 0;
};

Status check_segments(Verification& v) {
  auto dir = sys::open_beneath(v.dir, kSegmentDir, O_RDONLY | O_DIRECTORY);
  if (!dir) {
    v.find(kSegmentDir, "is missing: this directory is no audit log, or not all of it");
    return {};
  }
  std::vector<std::uint64_t> firsts;
  for (const std::string& name : TRY(list_directory(*dir))) {
    if (const auto first = parse_segment_name(name)) {
      firsts.push_back(*first);
    } else {
      v.find(std::string(kSegmentDir) + "/" + printable(name), "does not belong to the log");
    }
  }
  if (firsts.empty()) v.find(kSegmentDir, "holds no segment");
  for (const std::uint64_t first : firsts) {
    const std::string name = std::string(kSegmentDir) + "/" + segment_name(first);
    if (first > v.leaves.size()) {
      v.find(name, entry_range(v.leaves.size(), first) + " before it are missing");
      const auto hashes = hashes_from_tiles(v.dir, v.leaves.size(), first);
      if (hashes.empty()) v.is_complete = false;
      for (const Hash& hash : hashes) v.tree.append(v.leaves.emplace_back(hash));
    }
    auto data = read_segment(*dir, first);
    if (!data) {
      v.find(name, std::string("cannot be read: ") + data.error().what);
      continue;
    }
    ++v.report.files;
    SegmentCheck(v, first, first == firsts.back(), std::move(*data)).run();
  }
  return {};
}

void check_checkpoint_file(Verification& v) {
  const auto file = sys::open_beneath(v.dir, kCheckpointFile, O_RDONLY);
  const auto note = file ? sys::read_all(*file, kMaxNoteFile)
                         : Result<std::string>(std::unexpected(file.error()));
  if (!note) return v.find(kCheckpointFile, "is missing or cannot be read");
  ++v.report.files;
  const auto checkpoint = verify_checkpoint(*note, v.key);
  if (!checkpoint) return v.find(kCheckpointFile, checkpoint.error().what);
  v.report.checkpoint = *checkpoint;
}

void check_root(Verification& v, const char* where, const Checkpoint& checkpoint) {
  if (checkpoint.size > v.leaves.size()) {
    v.find(kSegmentDir, "lacks " + entry_range(v.leaves.size(), checkpoint.size) + ", which " +
                            where + " covers: removed, or copied before the checkpoint was");
  } else if (v.is_complete) {
    const Hash root = root_of(std::span(v.leaves).first(checkpoint.size));
    if (root == checkpoint.root) return;
    v.find(where, "signs another tree of " + std::to_string(checkpoint.size) +
                      " entries: its root is " + short_hex(checkpoint.root) +
                      ", that of the segments " + short_hex(root));
  }
}

Status check_directory(Verification& v) {
  for (const std::string& name : TRY(list_directory(v.dir))) {
    if (name == kSegmentDir || name == kTileDir || name == kTmpDir || name == kCheckpointFile)
      continue;
    v.find(printable(name), "does not belong to the log");
  }
  const auto tmp = sys::open_beneath(v.dir, kTmpDir, O_RDONLY | O_DIRECTORY);
  if (!tmp) return {};
  for (const std::string& name : TRY(list_directory(*tmp))) {
    if (name != "new")
      v.find(std::string(kTmpDir) + "/" + printable(name), "does not belong to the log");
  }
  return {};
}

}  // namespace

std::string entry_range(std::uint64_t first, std::uint64_t end) {
  if (end <= first + 1) return "entry " + std::to_string(first);
  return "entries " + std::to_string(first) + ".." + std::to_string(end - 1);
}

std::string short_hex(const Hash& hash) {
  return to_hex(std::span(hash).first(8)) + "…";
}

Result<Report> verify_log(const std::string& path, const VerifierKey& key,
                          const std::optional<std::string>& known) {
  const Fd dir = TRY(sys::open_dir(path.c_str()));
  Verification v{dir, key, {}, {}, {}, true};
  TRY(check_directory(v));
  check_checkpoint_file(v);
  TRY(check_segments(v));
  v.report.entries = v.leaves.size();
  if (v.report.checkpoint) check_root(v, kCheckpointFile, *v.report.checkpoint);
  verify_tiles(v);
  if (known) {
    const auto checkpoint = verify_checkpoint(*known, key);
    if (!checkpoint) return std::unexpected(checkpoint.error());
    check_root(v, "the checkpoint you kept", *checkpoint);
  }
  return std::move(v.report);
}

}  // namespace oqto::audit
