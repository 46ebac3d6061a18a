#include "audit/auditd/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <ranges>
#include <utility>

#include "audit/format/epoch.h"
#include "audit/format/note.h"
#include "base/sys.h"

namespace oqto::audit {

Result<Log> Log::open(const std::string& path, Options options) {
  Fd dir = TRY(sys::open_dir(path.c_str()));
  if (::flock(dir.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail_errno("the log directory is in use by another oqto-auditd");
  }
  for (const char* name : {kSegmentDir, kTileDir, kTmpDir}) {
    if (::mkdirat(dir.get(), name, kSharedDir) != 0 && errno != EEXIST) {
      return fail_errno("mkdirat in the log directory");
    }
  }
  if (::fsync(dir.get()) != 0) return fail_errno("fsync of the log directory");
  Fd segments = TRY(sys::open_beneath(dir, kSegmentDir, O_RDONLY | O_DIRECTORY));
  auto derived = Derived::start(TRY(sys::open_beneath(dir, ".", O_RDONLY | O_DIRECTORY)));
  return Log(std::move(dir), std::move(segments), options, std::move(derived));
}

// --- the signer ---

constexpr const char* kNoAnswer = "the audit signer does not answer";

Status Log::send_to_signer(auto request) {
  if (!signer_) return fail(Errc::unavailable, "there is no signer");
  request.request = ++asked_;
  if (const auto sent = signer_.send(request); !sent) {
    if (sent.error().code == Errc::unavailable) signer_ = ipc::Channel();
    return fail(Errc::unavailable, kNoAnswer);
  }
  return {};
}

// What came after we had stopped waiting for it is an answer to another question.
static bool answers(const ipc::Received& message, std::uint64_t request) {
  const auto names_it = [request](const auto& answer) { return !answer || answer->request == request; };
  switch (message.tag) {
    case ipc::Tag::signer_status:
      return names_it(message.as<ipc::SignerStatus>());
    case ipc::Tag::signed_checkpoint:
      return names_it(message.as<ipc::SignedCheckpoint>());
    case ipc::Tag::sign_refused:
      return names_it(message.as<ipc::SignRefused>());
    default:
      return true;  // for the caller to refuse
  }
}

Result<ipc::Received> Log::hear_signer() {
  const std::uint64_t deadline =
      sys::monotonic_ms() + static_cast<std::uint64_t>(options_.signer_timeout_ms);
  for (std::uint64_t now = sys::monotonic_ms(); now < deadline; now = sys::monotonic_ms()) {
    auto answer = signer_.wait(static_cast<int>(deadline - now));
    if (answer && !answers(*answer, asked_)) continue;
    if (answer) return answer;
    if (answer.error().code == Errc::unavailable) signer_ = ipc::Channel();
    break;
  }
  return fail(Errc::unavailable, kNoAnswer);
}

Result<Log::Remembered> Log::ask_status(ipc::SignerAsk what) {
  TRY(send_to_signer(ipc::SignerQuery{what}));
  const auto answer = TRY(hear_signer());
  auto status = TRY(answer.as<ipc::SignerStatus>());
  epoch_ends_ms_ = sys::boottime_ms() + status.epoch_ms_left;
  return Remembered{status.size, status.root, std::move(status.seal.value), status.recall};
}

// The newest seal is in the log if the log is larger than what it seals.
Status Log::take_seal(const Remembered& remembered) {
  const auto seal = read_seal(remembered.seal);
  if (!seal) return fail(Errc::denied, "the signer has no seal");
  epoch_ = seal->epoch;
  pending_seal_.reset();
  if (seal->size == tree_.size()) pending_seal_ = remembered.seal;
  return {};
}

Status Log::request_seal(ipc::SignerAsk what) {
  if (!attached_) return fail(Errc::unavailable, "the audit signer is not available");
  auto remembered = ask_status(what);
  if (!remembered) {
    attached_ = false;
    return std::unexpected(remembered.error());
  }
  return take_seal(*remembered);
}

bool Log::is_seal_due() const {
  return attached_ && !pending_seal_ && sys::boottime_ms() >= epoch_ends_ms_;
}

int Log::ms_to_seal() const {
  constexpr std::uint64_t kMost = 3'600'000;
  if (!attached_ || pending_seal_) return -1;
  const std::uint64_t now = sys::boottime_ms();
  return now >= epoch_ends_ms_ ? 0 : static_cast<int>(std::min(kMost, epoch_ends_ms_ - now));
}

Status Log::request_signature(const Tree& old, std::span<const Hash> leaves, const Tree& now) {
  ipc::SignRequest request;
  request.epoch = epoch_;
  request.old_size = old.size();
  request.size = now.size();
  request.root = now.root();
  for (const Hash& hash : old.prove_prefix(leaves)) request.proof.value += as_text(hash);
  return send_to_signer(request);
}

Result<std::string> Log::take_signature(const Tree& now) {
  const auto answer = TRY(hear_signer());
  if (answer.tag == ipc::Tag::sign_refused) {
    const auto refused = TRY(answer.as<ipc::SignRefused>());
    if (refused.why.view() == ipc::kEpochOver) {
      return fail(Errc::unavailable, "the epoch ended before this was signed");
    }
    return fail(Errc::denied,
                "the signer refuses: this log is not a continuation of what it signed");
  }
  auto checkpoint = TRY(answer.as<ipc::SignedCheckpoint>());
  const auto claimed = read_checkpoint(checkpoint.note.value);
  if (!claimed || claimed->size != now.size() || claimed->root != now.root() ||
      checkpoint.note.value.size() > kMaxNote) {
    return fail(Errc::denied, "the signer answered with another checkpoint than was asked for");
  }
  epoch_ends_ms_ = sys::boottime_ms() + checkpoint.epoch_ms_left;
  return std::move(checkpoint.note.value);
}

// --- recovery ---

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
  if (firsts->empty()) segment_ = TRY(SegmentFile::create(segments_, 0));
  recovered_.where = std::to_string(tree_.size()) + " entries; the signer remembers " +
                     std::to_string(remembered.size);
  TRY(take_seal(remembered));
  TRY(agree(scan));
  recovered_.entries = tree_.size();
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
      TRY(write_full_tiles());
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
  for (const std::string_view entry : batch.entries) {
    if (tree_.size() == scan.remembered.size) scan.at_remembered = tree_;
    const Hash leaf = leaf_hash(entry);
    if (tree_.size() >= scan.remembered.size) scan.after.push_back(leaf);
    tree_.append(leaf);
    tiles_.append(entry, leaf);
  }
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

// --- appending ---

Status Log::make_room() {
  if (full_) {
    const std::uint64_t now = sys::monotonic_ms();
    if (now - probed_at_ms_ < kProbeEveryMs) return fail(Errc::limit, "the audit log is full");
    probed_at_ms_ = now;
    if (!segment_.probe()) return fail(Errc::limit, "the audit log is full");
    full_ = false;
  }
  TRY(derived_->wait_for_room());
  if (segment_.length() < options_.segment_bytes) return {};
  TRY(segment_.finish());  // before the next one exists: only the newest may have room behind its end
  auto next = SegmentFile::create(segments_, tree_.size());
  if (next) segment_ = std::move(*next);
  if (!next) full_ = true;
  return next ? Status() : std::unexpected(next.error());
}

Status Log::write_full_tiles() {
  TRY(derived_->wait_for_room());
  derived_->write_full(tiles_.take_full());
  return {};
}

Status Log::settle() {
  TRY(segment_.sync());
  // A signer that is only slow has lost nothing: the next request shows whether it is there.
  if (!ask_status(ipc::SignerAsk::settle) && !signer_) attached_ = false;
  return {};
}

Status Log::close() {
  (void)derived_->finish();  // says itself what fails
  return segment_.finish();
}

Status Log::commit(std::span<const std::string> entries, Room room) {
  if (!attached_) return fail(Errc::unavailable, "the audit signer is not available");
  CHECK(!entries.empty() && (!pending_seal_ || is_seal_entry(entries[0])));
  if (room == Room::usual) TRY(make_room());
  std::string body;
  std::vector<Hash> leaves;
  Tree next = tree_;
  for (const std::string& entry : entries) {
    append_entry(body, entry);
    next.append(leaves.emplace_back(leaf_hash(entry)));
  }
  CHECK(body.size() <= kMaxBody);
  if (const auto written = segment_.append(
          encode_batch(tree_.size(), static_cast<std::uint32_t>(entries.size()), body), room);
      !written) {
    full_ = true;
    return written;
  }
  // The signer works while the disk does.
  const Status requested = request_signature(tree_, leaves, next);
  TRY(segment_.sync());
  auto note = requested ? take_signature(next) : Result<std::string>(std::unexpected(requested.error()));
  if (!note) {
    // Whether it was signed is not known: recovery keeps the batch if it was, and drops it if not.
    attached_ = false;
    return std::unexpected(note.error());
  }
  TRY(segment_.overwrite(segment_.length() - kNoteFrame, encode_note_frame(next.size(), *note)));
  tree_ = std::move(next);
  note_ = std::move(*note);
  pending_seal_.reset();
  for (std::size_t i = 0; i < entries.size(); ++i) tiles_.append(entries[i], leaves[i]);
  derived_->write_full(tiles_.take_full());
  return {};
}

void Log::publish() {
  if (note_.empty()) return;
  derived_->publish(tiles_.partials(), note_);
  published_ = tree_.size();
}

}  // namespace oqto::audit
