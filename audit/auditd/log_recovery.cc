// How a log is found after a stop, a crash or a power cut, and brought to agree with its signer.
#include <algorithm>
#include <charconv>
#include <ranges>
#include <utility>

#include "audit/auditd/log.h"
#include "audit/format/epoch.h"
#include "audit/format/note.h"
#include "base/sys.h"

namespace oqto::audit {

Status Log::attach(ipc::Channel signer) {
  signer_ = std::move(signer);
  return reattach();
}

Status Log::reattach() {
  const Remembered remembered = TRY(ask_status(ipc::SignerAsk::status));
  if (attached_ && remembered.size == tree_.size() && remembered.root == tree_.root() &&
      remembered.recall == ipc::Recall::exact) {
    return take_seal(remembered);
  }
  attached_ = false;
  TRY(recover(remembered));
  attached_ = true;
  // Reading the log may have taken longer than the signer lets an epoch go on.
  return is_seal_due() ? request_seal(ipc::SignerAsk::seal_if_due) : Status();
}

Status Log::recover(const Remembered& remembered) {
  Scan scan{remembered, {}, {}, false};
  tree_ = {};
  tiles_ = {};
  tiled_ = 0;
  note_.clear();
  recovered_ = {};
  const auto firsts = list_segments(segments_);
  if (!firsts) {
    recovered_.where = kSegmentDir;
    return std::unexpected(firsts.error());
  }
  if (!firsts->empty() && firsts->front() > 0) {
    recovered_.where = std::string(kSegmentDir) + "/" + segment_name(firsts->front());
    TRY(begin_pruned(firsts->front(), scan));
  }
  for (const std::uint64_t first : *firsts) {
    recovered_.where = std::string(kSegmentDir) + "/" + segment_name(first);
    if (first != tree_.size()) return fail(Errc::denied, "segments are missing before this one");
    TRY(scan_segment(first, first == firsts->back(), scan));
  }
  if (firsts->empty()) segment_ = TRY(SegmentFile::create(segments_, 0, tmp_));
  recovered_.where = std::to_string(tree_.size()) + " entries; the signer remembers " +
                     std::to_string(remembered.size);
  TRY(take_seal(remembered));
  TRY(agree(scan));
  recovered_.entries = tree_.size();
  settled_ = ~std::uint64_t{0};
  keep_reserve();
  return {};
}

Status Log::scan_segment(std::uint64_t first, bool last, Scan& scan) {
  const std::string data = TRY(read_segment(segments_, first));
  const std::string name = recovered_.where;
  std::uint64_t length = 0;
  std::uint64_t last_batch = 0;
  for (;;) {
    const std::string_view rest = std::string_view(data).substr(length);
    const Batch batch = read_batch(rest);
    recovered_.where = name + " at byte " + std::to_string(length);
    if (batch.state == BatchState::complete) {
      TRY(apply(batch, scan));
      last_batch = std::exchange(length, length + batch.length);
      write_full_tiles();
      continue;
    }
    if (batch.state != BatchState::end) {
      if (!last) return fail(Errc::denied, "a segment before the last one is damaged");
      TRY(scan_tail(batch, data, length, scan, length));
    }
    break;
  }
  return last ? reopen(first, data, last_batch, length) : Status();
}

// The last batch is written once more: where its fdatasync failed, the kernel may take for written
// what the disk never got.
Status Log::reopen(std::uint64_t first, std::string_view data, std::uint64_t from,
                   std::uint64_t length) {
  segment_ = TRY(SegmentFile::open(segments_, first, length));
  const std::size_t end = std::min<std::size_t>(length, data.size());
  TRY(segment_.overwrite(from, data.substr(from, end - from)));
  return segment_.sync();
}

// A batch that was written before the seal that has to begin it: the signer never signed that.
static bool lacks_seal(const Batch& tail, std::string_view newest_seal) {
  const auto seal = read_seal(newest_seal);
  return seal && seal->size == tail.first && !is_seal_entry(tail.entries.front());
}

// The end of a log that was not closed. Of the last batch that was acknowledged the entries are whole,
// since they were durable before; its note may be lacking after a power cut. Of the one that was under
// way behind it any part may be there, in any order, but not its note; nobody was told of it. Where no
// power was cut the signer remembers exactly, and what it does not remember was never acknowledged.
Status Log::scan_tail(const Batch& tail, std::string_view data, std::uint64_t offset, Scan& scan,
                      std::uint64_t& length) {
  const bool is_exact = scan.remembered.recall == ipc::Recall::exact;
  std::size_t behind = offset + (tail.has_entries ? tail.length : 1);
  if (tail.has_entries && !is_exact) {
    const std::size_t next = std::min(behind + kNoteFrame, data.size());
    const Batch under_way = read_batch(data.substr(next));
    if (under_way.has_entries && under_way.state != BatchState::complete) behind = next + under_way.length;
  }
  if (find_entries_frame(data, behind) != data.npos) {
    return fail(Errc::denied, "a batch is damaged, and there are whole ones behind it");
  }
  const bool was_signed =
      tail.has_entries && scan.remembered.size >= tail.first + tail.entries.size();
  if (was_signed || (tail.has_entries && !is_exact && !lacks_seal(tail, scan.remembered.seal))) {
    TRY(apply(tail, scan));
    scan.lacks_note = true;
    length = offset + tail.length + kNoteFrame;  // opening to this length makes the note's room
  } else {
    const std::size_t end = data.find_last_not_of('\0');
    if (end != data.npos && end >= offset) recovered_.dropped_bytes = end + 1 - offset;
  }
  return {};
}

// What the first entry after a start has to know of the last one before it.
void Log::look_at_end(const Batch& batch) {
  constexpr std::string_view kTime = "\"time\":";
  const std::string_view last = batch.entries.back();
  if (const std::size_t at = last.find(kTime); at != last.npos) {
    const std::string_view text = last.substr(at + kTime.size());
    (void)std::from_chars(text.data(), text.data() + text.size(), recovered_.last_time_ms);
  }
  for (const std::string_view entry : batch.entries | std::views::reverse) {
    if (is_seal_entry(entry)) continue;
    recovered_.was_stopped = entry.find(R"("event":"process.stop")") != entry.npos &&
                             entry.find(R"("actor":{"process":"auditd")") != entry.npos;
    return;
  }
}

Status Log::apply(const Batch& batch, Scan& scan) {
  if (batch.first != tree_.size()) return fail(Errc::denied, "a batch is out of order");
  // Those that cannot be written now are made later.
  const bool is_tiled = tiled_ == tree_.size() && derived_->wait_for_room();
  for (const std::string_view entry : batch.entries) {
    if (tree_.size() == scan.remembered.size) scan.at_remembered = tree_;
    const Hash leaf = leaf_hash(entry);
    if (tree_.size() >= scan.remembered.size) scan.after.push_back(leaf);
    tree_.append(leaf);
    if (is_tiled) tiles_.append(entry, leaf);
  }
  if (is_tiled) tiled_ = tree_.size();
  look_at_end(batch);
  if (batch.state != BatchState::complete) return {};
  const auto checkpoint = read_checkpoint(batch.note);
  if (!checkpoint || checkpoint->size != tree_.size() || checkpoint->root != tree_.root()) {
    return fail(Errc::denied, "a batch does not have the root that was signed");
  }
  note_ = batch.note;
  return {};
}

// The signer's memory decides. It may be behind by what it signed in the last second before a power
// cut, never ahead.
Status Log::agree(const Scan& scan) {
  const std::uint64_t signed_size = scan.remembered.size;
  if (tree_.size() < signed_size) {
    return fail(Errc::denied, "the log is smaller than what was signed: it was rolled back");
  }
  if (tree_.size() == 0) return {};
  if (signed_size == 0) {
    return fail(Errc::denied,
                "the log has entries, but the signer has never signed: its state or "
                "its key was replaced");
  }
  const Tree& then = tree_.size() == signed_size ? tree_ : scan.at_remembered;
  if (then.root() != scan.remembered.root) {
    return fail(Errc::denied, "the log is not the one that was signed");
  }
  TRY(request_signature(then, scan.after, tree_));
  std::string note = TRY(take_signature(tree_));
  if (scan.lacks_note) {
    TRY(segment_.overwrite(segment_.length() - kNoteFrame, encode_note_frame(tree_.size(), note)));
    TRY(segment_.sync());
  } else if (note != note_) {
    return fail(Errc::denied, "the log was signed with another key");
  }
  note_ = std::move(note);
  return {};
}

}  // namespace oqto::audit
