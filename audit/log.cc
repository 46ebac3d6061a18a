#include "audit/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "audit/note.h"
#include "base/sys.h"

namespace oqto::audit {

Result<Log> Log::open(const std::string& path, Options options) {
  Fd dir = TRY(sys::open_dir(path.c_str()));
  if (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail_errno("the log directory is in use by another oqto-auditd");
  }
  for (const char* name : {kSegmentDir, kTileDir, kTmpDir}) {
    if (::mkdirat(dir.get(), name, 0700) != 0 && errno != EEXIST) {
      return fail_errno("mkdirat in the log directory");
    }
  }
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of the log directory");
  Fd segments = TRY(sys::open_beneath(dir, kSegmentDir, O_RDONLY | O_DIRECTORY));
  return Log(std::move(dir), std::move(segments), options);
}

// --- the signer ---

Result<ipc::Received> Log::ask(const ipc::SignRequest& request) {
  if (!signer_) return fail(Errc::unavailable, "there is no signer");
  for (auto stale = signer_.receive(); stale; stale = signer_.receive()) {
  }  // answers that came after we had stopped waiting
  auto status = signer_.send(request);
  auto answer = status ? signer_.wait(options_.signer_timeout_ms)
                       : Result<ipc::Received>(std::unexpected(status.error()));
  if (answer) return answer;
  if (answer.error().code == Errc::unavailable) signer_ = ipc::Channel();
  return fail(Errc::unavailable, "the signer does not answer");
}

// Size 0 is never signed: the refusal says what the signer remembers.
Result<Log::Remembered> Log::ask_remembered() {
  const auto answer = TRY(ask({}));
  const auto refused = TRY(answer.as<ipc::SignRefused>());
  return Remembered{refused.size, refused.root};
}

Result<std::string> Log::sign(const Tree& old, std::span<const Hash> leaves, const Tree& now) {
  ipc::SignRequest request;
  request.old_size = old.size();
  request.size = now.size();
  request.root = now.root();
  for (const Hash& hash : old.prove_prefix(leaves)) request.proof.value += as_text(hash);
  const auto answer = TRY(ask(request));
  if (answer.tag == ipc::Tag::sign_refused) {
    return fail(Errc::denied,
                "the signer refuses: this log is not a continuation of what it signed");
  }
  auto checkpoint = TRY(answer.as<ipc::SignedCheckpoint>());
  const auto claimed = read_checkpoint(checkpoint.note.value);
  if (!claimed || claimed->size != now.size() || claimed->root != request.root ||
      checkpoint.note.value.size() > kMaxNote) {
    return fail(Errc::denied, "the signer answered with another checkpoint than was asked for");
  }
  return std::move(checkpoint.note.value);
}

// --- recovery ---

Status Log::attach(ipc::Channel signer) {
  signer_ = std::move(signer);
  return reattach();
}

Status Log::reattach() {
  const Remembered remembered = TRY(ask_remembered());
  if (attached_ && remembered.size == tree_.size() && remembered.root == tree_.root()) return {};
  attached_ = false;
  TRY(recover(remembered));
  attached_ = true;
  return {};
}

Status Log::recover(const Remembered& remembered) {
  Scan scan{remembered, {}, {}, false};
  tree_ = {};
  tiles_ = {};
  note_.clear();
  recovered_ = {};
  const auto firsts = list_segments(segments_);
  if (!firsts) {
    recovered_.where = kSegmentDir;
    return std::unexpected(firsts.error());
  }
  for (const std::uint64_t first : *firsts) {
    recovered_.where = std::string(kSegmentDir) + "/" + segment_name(first);
    if (first != tree_.size()) return fail(Errc::denied, "segments are missing before this one");
    TRY(scan_segment(first, first == firsts->back(), scan));
  }
  if (firsts->empty()) segment_ = TRY(SegmentFile::create(segments_, 0));
  recovered_.where = std::to_string(tree_.size()) + " entries; the signer remembers " +
                     std::to_string(remembered.size);
  TRY(agree(scan));
  recovered_.entries = tree_.size();
  return {};
}

Status Log::scan_segment(std::uint64_t first, bool last, Scan& scan) {
  const std::string data = TRY(read_segment(segments_, first));
  const std::string name = recovered_.where;
  std::uint64_t length = 0;
  for (;;) {
    const std::string_view rest = std::string_view(data).substr(length);
    const Batch batch = read_batch(rest);
    recovered_.where = name + " at byte " + std::to_string(length);
    if (batch.state == BatchState::complete) {
      TRY(apply(batch, scan));
      length += batch.length;
      TRY(tiles_.write_full(dir_, ~std::size_t{0}));
      continue;
    }
    if (batch.state != BatchState::end) {
      if (!last) return fail(Errc::denied, "a segment before the last one is damaged");
      TRY(scan_tail(batch, data, length, scan, length));
    }
    break;
  }
  if (last) segment_ = TRY(SegmentFile::open(segments_, first, length));
  return {};
}

// A crash leaves at most one unfinished batch, at the very end, and nobody was told of it.
Status Log::scan_tail(const Batch& tail, std::string_view data, std::uint64_t offset, Scan& scan,
                      std::uint64_t& length) {
  const std::size_t behind = offset + (tail.has_entries ? tail.length : 1);
  if (find_entries_frame(data, behind) != data.npos) {
    return fail(Errc::denied, "a batch is damaged, and there are whole ones behind it");
  }
  const bool was_signed =
      tail.has_entries && scan.remembered.size >= tail.first + tail.entries.size();
  if (was_signed) {
    TRY(apply(tail, scan));
    scan.lacks_note = true;
    length = offset + tail.length + kNoteFrame;  // opening to this length makes the note's room
  } else {
    recovered_.dropped_bytes = data.size() - offset;
  }
  return {};
}

Status Log::apply(const Batch& batch, Scan& scan) {
  if (batch.first != tree_.size()) return fail(Errc::denied, "a batch is out of order");
  for (const std::string_view entry : batch.entries) {
    if (tree_.size() == scan.remembered.size) scan.at_remembered = tree_;
    const Hash leaf = leaf_hash(entry);
    if (tree_.size() >= scan.remembered.size) scan.after.push_back(leaf);
    tree_.append(leaf);
    tiles_.append(entry, leaf);
  }
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
  std::string note = TRY(sign(then, scan.after, tree_));
  if (scan.lacks_note) {
    TRY(segment_.overwrite(segment_.length() - kNoteFrame, encode_note_frame(tree_.size(), note)));
    TRY(segment_.sync());
  } else if (note != note_) {
    return fail(Errc::denied, "the log was signed with another key");
  }
  note_ = std::move(note);
  return {};
}

// --- appending ---

Status Log::make_room() {
  if (full_) {
    const std::uint64_t now = sys::monotonic_ms();
    if (now - probed_at_ms_ < kProbeEveryMs) return fail(Errc::limit, "the audit log is full");
    probed_at_ms_ = now;
    if (!segment_.probe()) return fail(Errc::limit, "the audit log is full");
    full_ = false;
  }
  if (segment_.length() < options_.segment_bytes) return {};
  auto next = SegmentFile::create(segments_, tree_.size());
  if (!next) return std::unexpected(next.error());
  segment_ = std::move(*next);
  return {};
}

Status Log::commit(std::span<const std::string> entries) {
  if (!attached_) return fail(Errc::unavailable, "the audit signer is not available");
  TRY(make_room());
  std::string body;
  std::vector<Hash> leaves;
  Tree next = tree_;
  for (const std::string& entry : entries) {
    append_entry(body, entry);
    next.append(leaves.emplace_back(leaf_hash(entry)));
  }
  CHECK(body.size() <= kMaxBody);
  if (const auto written = segment_.append(
          encode_batch(tree_.size(), static_cast<std::uint32_t>(entries.size()), body));
      !written) {
    full_ = true;
    return written;
  }
  auto note = sign(tree_, leaves, next);
  if (!note) {
    // Whether it was signed is not known: recovery keeps the batch if it was, and drops it if not.
    attached_ = false;
    return std::unexpected(note.error());
  }
  TRY(segment_.overwrite(segment_.length() - kNoteFrame, encode_note_frame(next.size(), *note)));
  TRY(segment_.sync());
  tree_ = std::move(next);
  note_ = std::move(*note);
  for (std::size_t i = 0; i < entries.size(); ++i) tiles_.append(entries[i], leaves[i]);
  return {};
}

Status Log::publish() {
  if (note_.empty()) return {};
  TRY(tiles_.publish(dir_, note_));
  published_ = tree_.size();
  return {};
}

}  // namespace oqto::audit
