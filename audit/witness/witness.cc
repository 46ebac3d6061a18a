#include "audit/witness/witness.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "audit/format/tile_store.h"
#include "audit/format/tree.h"
#include "audit/read/proof_file.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxStateFile = 64 * 1024;
constexpr const char* kSizeType = "text/x.tlog.size";  // C2SP tlog-witness

std::string file_of(const std::string& origin, std::string_view ending) {
  const Hash hash = sha256(origin);
  return to_hex(std::span(hash).first(16)) + std::string(ending);
}

HttpResponse answer(unsigned status, std::string_view why) {
  return {.status = status, .body = std::string(why) + "\n"};
}

HttpResponse conflict(std::uint64_t size) {
  return {.status = 409, .content_type = kSizeType, .body = std::to_string(size) + "\n"};
}

Status write_synced(const Fd& dir, const std::string& name, std::string_view text) {
  const Fd file =
      TRY(sys::open_beneath(dir, name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(sys::write_all(file, text));
  if (::fdatasync(file.get()) != 0) return fail_errno("fdatasync in the state directory");
  return {};
}

bool leads_to(const Pin& pin, const VerifierKey& key, const std::vector<Seals>& rotations) {
  return pin.log == key || std::ranges::any_of(rotations, [&](const Seals& seals) {
           // Who pins epoch 0 as well has all of its seals.
           const auto followed = follow_seals(seals, pin, !pin.first_epoch);
           return followed && followed->chain.has_log_key(key);
         });
}

}  // namespace

Result<Witness> Witness::open(const std::string& path, SigningKey key,
                              const std::vector<Pin>& logs, const std::vector<Seals>& rotations) {
  Fd state = TRY(sys::open_dir(path.c_str()));
  if (::flock(state.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail_errno("the state directory is in use by another witness");
  }
  Witness witness(std::move(state), std::move(key));
  for (const Pin& log : logs) {
    const auto first = std::ranges::find(logs, log.log.name, [](const Pin& pin) { return pin.log.name; });
    if (!leads_to(*first, log.log, rotations)) {
      return fail(Errc::denied,
                  "two of the logs bear one name and have different keys: if one of them is the other's after a "
                  "rotation, show it with --seals; else they are two logs, and one of them needs another witness");
    }
    witness.logs_[log.log.name].keys.push_back(log.log);
  }
  for (auto& [origin, log] : witness.logs_) TRY(witness.load(origin, log));
  return witness;
}

Status Witness::load(const std::string& origin, Log& log) {
  const std::string name = file_of(origin, ".note");
  if (::faccessat(state_.get(), name.c_str(), F_OK, 0) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("the state directory cannot be read");
  }
  log.note = TRY(read_log_file(state_, name, kMaxStateFile));
  const auto known = check_signature(log.note, log);
  const auto time = verify_cosignature(log.note, key_.verifier());
  if (!known || !time) {
    return fail(Errc::invalid,
                "a file in the state directory is damaged, or of another witness or log key; after a "
                "rotation of the log's key both of its keys are needed");
  }
  log.latest = known->checkpoint;
  log.time = *time;
  return {};
}

std::vector<std::string> Witness::unknown() const {
  std::vector<std::string> origins;
  for (const auto& [origin, log] : logs_) {
    if (log.note.empty()) origins.push_back(origin);
  }
  return origins;
}

Result<Witness::Submission> Witness::check_signature(const std::string& note, const Log& log) {
  Error last{Errc::denied, "not signed by a key of this log", 0};
  for (const VerifierKey& key : log.keys) {
    auto checkpoint = verify_checkpoint(note, key);
    if (!checkpoint) {
      last = checkpoint.error();
      continue;
    }
    const auto parsed = *read_note(note);
    const auto line = std::ranges::find_if(
        parsed.signatures, [&](const NoteSignature& signature) { return signature.is_by(key); });
    return Submission{std::move(*checkpoint),
                      std::string(parsed.body) + "\n" + std::string(line->line)};
  }
  return std::unexpected(last);
}

Result<HttpResponse> Witness::add_checkpoint(std::string_view body) {
  const auto request = read_consistency(body);
  const auto claimed = request ? read_checkpoint(request->note) : std::nullopt;
  if (!claimed) return answer(400, "not an old size, a proof and a checkpoint");
  const auto found = logs_.find(claimed->origin);
  if (found == logs_.end()) return answer(404, "an unknown log");
  Log& log = found->second;
  const auto submission = check_signature(request->note, log);
  if (!submission) {
    const bool is_malformed = submission.error().code == Errc::bad_message;
    return answer(is_malformed ? 400 : 403, submission.error().what);
  }
  const Checkpoint& tree = submission->checkpoint;
  if (request->old_size > tree.size) return answer(400, "the old size is above the new one");
  const bool is_fork = !log.note.empty() && tree.size == log.latest.size && tree.root != log.latest.root;
  if (is_fork) keep_conflict(found->first, log, submission->note);
  if (request->old_size != log.latest.size) return conflict(log.latest.size);
  if (tree.size == 0 && tree.root != sha256("")) return answer(422, "the empty tree has another root");
  if (is_fork) return answer(422, "another tree of this size was cosigned");
  const Hash old_root = log.latest.size == 0 ? sha256("") : log.latest.root;
  if (!verify_prefix(log.latest.size, old_root, tree.size, tree.root, request->hashes)) {
    log::warn("not cosigned: the proof does not verify",
              {{"log", found->first}, {"size", tree.size}, {"known_size", log.latest.size}});
    return answer(422, "not proven to continue what this witness saw");
  }
  // A clock that was set back must not make this cosignature older than the last one.
  const std::uint64_t time = std::max(sys::now_ms() / 1000, log.time);
  const std::string line = key_.cosign(read_note(submission->note)->body, time);
  const std::string note = submission->note + line;
  bool is_kept = false;
  const Status kept = keep(found->first, note, is_kept);
  if (!kept && is_kept) return std::unexpected(kept.error());
  if (!kept) {
    log::error("nothing can be cosigned: the state cannot be written", kept.error());
    return answer(503, "the witness cannot remember now");
  }
  log.note = note;
  log.latest = tree;
  log.time = time;
  return HttpResponse{.status = 200, .body = line};
}

HttpResponse Witness::checkpoint(std::string_view origin_hash) const {
  for (const auto& [origin, log] : logs_) {
    if (!log.note.empty() && to_hex(sha256(origin)) == origin_hash) return {.status = 200, .body = log.note};
  }
  return answer(404, "no checkpoint of such a log was cosigned here");
}

// `is_kept`: the new note may be what is read after a restart, whatever the result says.
Status Witness::keep(const std::string& origin, const std::string& note, bool& is_kept) {
  const std::string aside = file_of(origin, ".new");
  const std::string name = file_of(origin, ".note");
  TRY(write_synced(state_, aside, note));
  if (::renameat(state_.get(), aside.c_str(), state_.get(), name.c_str()) != 0) {
    return fail_errno("renameat in the state directory");
  }
  is_kept = true;
  if (::fsync(state_.get()) != 0) return fail_errno("fsync of the state directory");
  return {};
}

// Two trees of one size, both signed by the log: proof that it lied to somebody.
void Witness::keep_conflict(const std::string& origin, const Log& log, const std::string& note) {
  log::error("the log has signed two trees of one size: both notes are kept",
             {{"log", origin}, {"size", log.latest.size}, {"state", file_of(origin, ".conflict.*")}});
  const std::string text = log.note + "\n" + note;
  for (int i = 0; i < kMaxConflicts; ++i) {
    const std::string name = file_of(origin, ".conflict.") + std::to_string(i);
    const auto known = read_log_file(state_, name, kMaxStateFile);
    if (known && *known != text) continue;
    if (!known && !write_synced(state_, name, text)) {
      log::error("the proof cannot be written; the log's note follows", {{"note", note}});
    }
    return;
  }
}

}  // namespace oqto::audit
