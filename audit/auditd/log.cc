#include "audit/auditd/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "audit/format/epoch.h"
#include "audit/format/note.h"
#include "base/log.h"
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
  Fd tmp = TRY(sys::open_beneath(dir, kTmpDir, O_RDONLY | O_DIRECTORY));
  auto derived = Derived::start(TRY(sys::open_beneath(dir, ".", O_RDONLY | O_DIRECTORY)));
  return Log(std::move(dir), std::move(segments), std::move(tmp), options, std::move(derived));
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
  adoption_.reset();
  if (status.adopted_at_ms != 0) adoption_ = status;
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
  TRY(segment_.finish());  // before the next one exists: only the newest may have room behind its end
  auto next = SegmentFile::create(segments_, tree_.size(), tmp_);
  if (next) segment_ = std::move(*next);
  if (!next) full_ = true;
  has_spare_ = false;
  return next ? Status() : std::unexpected(next.error());
}

void Log::write_full_tiles() {
  derived_->write_full(tiles_.take_full());
}

// Tiles that cannot be written hold up no record, and are not kept in memory: all of it is in the segments.
Status Log::catch_up() {
  while (tiled_ < tree_.size() && derived_->has_room()) {
    const auto firsts = TRY(list_segments(segments_));
    const auto behind = std::ranges::upper_bound(firsts, tiled_);
    if (behind == firsts.begin()) return fail(Errc::io, "segments are missing");
    const std::string data = TRY(read_segment(segments_, *std::prev(behind)));
    const std::uint64_t from = tiled_;
    for (std::size_t at = 0; derived_->has_room();) {
      const Batch batch = read_batch(std::string_view(data).substr(at));
      if (batch.state != BatchState::complete) break;
      at += batch.length;
      for (std::size_t i = 0; i < batch.entries.size(); ++i) {
        if (batch.first + i != tiled_) continue;
        tiles_.append(batch.entries[i], leaf_hash(batch.entries[i]));
        ++tiled_;
      }
      write_full_tiles();
    }
    if (tiled_ == from) return fail(Errc::io, "a segment cannot be read again");
  }
  return {};
}

Status Log::settle() {
  if (settled_ == tree_.size()) return {};
  TRY(segment_.sync());
  // A signer that is only slow has lost nothing: the next request shows whether it is there.
  const auto asked = ask_status(ipc::SignerAsk::settle);
  if (asked) settled_ = tree_.size();
  if (!asked && !signer_) attached_ = false;
  return {};
}

Status Log::probe() {
  if (!attached_) return fail(Errc::unavailable, signer_ ? kNoAnswer : "the audit signer is not available");
  TRY(make_room());
  TRY(segment_.touch());
  const auto asked = ask_status(ipc::SignerAsk::status);
  if (!asked && !signer_) attached_ = false;
  return asked ? Status() : fail(Errc::unavailable, kNoAnswer);
}

void Log::tell_adopted() {
  if (!ask_status(ipc::SignerAsk::adopted) && !signer_) attached_ = false;  // else it is recorded once more
}

Status Log::close() {
  (void)derived_->finish();  // says itself what fails
  TRY(segment_.finish());
  reserve_tried_ms_ = 0;
  keep_reserve();
  return {};
}

Status Log::commit(std::span<const std::string> entries, Room room) {
  if (!attached_) return fail(Errc::unavailable, "the audit signer is not available");
  CHECK(!entries.empty() && (!pending_seal_ || is_seal_entry(entries[0])));
  if (room == Room::usual) {
    TRY(make_room());
    keep_reserve();
  }
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
  // Waits while they are only slow to be written.
  if (tiled_ + entries.size() != tree_.size() || !derived_->wait_for_room()) return {};
  for (std::size_t i = 0; i < entries.size(); ++i) tiles_.append(entries[i], leaves[i]);
  tiled_ = tree_.size();
  write_full_tiles();
  return {};
}

void Log::publish() {
  if (const auto done = catch_up(); !done) log::error("the tiles cannot be made from the segments", done.error());
  if (note_.empty() || tiled_ != tree_.size()) return;
  derived_->publish(tiles_.partials(), note_);
  published_ = tree_.size();
}

}  // namespace oqto::audit
