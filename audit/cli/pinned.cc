#include "audit/cli/pinned.h"

#include "audit/format/format.h"
#include "audit/format/tile_store.h"

namespace oqto::audit::cli {

std::optional<Pinned> Pinned::read(const Arguments& arguments) {
  auto key = log_key(arguments);
  if (!key) return std::nullopt;
  return Pinned{{std::move(*key), first_epoch_key(arguments)}, {}};
}

Result<Checkpoint> Pinned::verify(std::string_view note) const {
  if (!seals) return verify_checkpoint(note, pin.log);
  const auto claimed = read_checkpoint(note);
  if (!claimed) return fail(Errc::bad_message, "not a checkpoint");
  if (const EpochKeys* keys = seals->chain.of_size(claimed->size))
    return verify_in_epoch(note, *keys);
  // Before the first seal that is left of a pruned log.
  auto checkpoint = verify_checkpoint(note, pin.log);
  return checkpoint ? checkpoint : verify_checkpoint(note, seals->chain.links().front().log);
}

Result<Checkpoint> Pinned::verify_by_log(std::string_view note) const {
  auto checkpoint = verify_checkpoint(note, pin.log);
  if (checkpoint || !seals) return checkpoint;
  for (const EpochKeys& keys : seals->chain.links()) {
    if (keys.log == pin.log) continue;
    if (auto other = verify_checkpoint(note, keys.log)) return other;
  }
  return checkpoint;
}

std::string Pinned::remark() const {
  if (!seals)
    return "the past is protected by the log's key alone: no epoch's signature was checked";
  if (seals->since == 0 && pin.first_epoch) return {};
  if (seals->since == 0) {
    return "the past is protected by the log's key alone: the key of epoch 0 is the second line of "
           "log.vkey";
  }
  return "what is before entry " + std::to_string(seals->since) +
         " is protected by the log's key alone: the seals of its epochs are not there";
}

std::optional<Believed> believe(const Fd& log, const std::string& path,
                                std::optional<std::string> note, bool wants_seals, Pinned& pinned,
                                int& status) {
  if (!note) {
    auto published = read_log_file(log, kCheckpointFile, kMaxNoteFile);
    if (!published) {
      status = complain("the checkpoint of " + path + ": " + reason(published.error()));
      return std::nullopt;
    }
    note = std::move(*published);
  }
  auto checkpoint = verify_checkpoint(*note, pinned.pin.log);
  const auto claimed = read_checkpoint(*note);
  const bool is_rotated = !checkpoint && claimed && claimed->origin == pinned.pin.log.name;
  if (!pinned.pin.first_epoch && !is_rotated && !wants_seals) {
    if (checkpoint) return Believed{{std::move(*note), *checkpoint}, {}};
    status = complain("the checkpoint of " + path + ": " + reason(checkpoint.error()));
    return std::nullopt;
  }
  auto made = make_seals(log, *note);
  if (!made) {
    status = proof_failed(path, made.error());
    return std::nullopt;
  }
  auto followed = follow_seals(*made, pinned.pin, true);
  if (!followed) {
    status = unproven("the log " + path + ": " + followed.error() + "; run `oqto-audit verify`");
    return std::nullopt;
  }
  pinned.seals = std::move(*followed);
  if (const std::string remark = pinned.remark(); !remark.empty())
    (void)complain("note: " + remark);
  return Believed{{std::move(*note), pinned.seals->checkpoint}, std::move(*made)};
}

int unproven(const std::string& what) {
  (void)complain(what);
  return kFindings;
}

int proof_failed(const std::string& log, const Error& error) {
  const std::string what = "the log " + log + ": " + reason(error);
  if (error.code == Errc::denied || error.code == Errc::bad_message) {
    return unproven(what + "; run `oqto-audit verify`");
  }
  return complain(what);
}

}  // namespace oqto::audit::cli
