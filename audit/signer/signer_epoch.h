// The key of the epoch that runs, and the seal that began it, in the file `epoch` of the key
// directory. It has two places: a new epoch is written to the one, then the other, with the key that
// ended, is overwritten with zeros; both before anything is signed with the new key. A file system
// that never writes in place (btrfs, ZFS), or a disk that does not, may still hold the old bytes.
#pragma once
#include <cstdint>
#include <string>

#include "audit/format/epoch.h"
#include "base/fd.h"

namespace oqto::audit {

class SignerEpoch {
 public:
  // The log's key as the newest seal in `dir` names it; nullopt: there is none that can be read.
  static std::optional<VerifierKey> sealed_log_key(const Fd& dir);

  // Reads `epoch` in `dir`. Makes epoch 0 if there is none and `is_new`.
  static Result<SignerEpoch> open(const Fd& dir, const SigningKey& log_key, bool is_new);

  [[nodiscard]] const Seal& seal() const { return seal_; }
  [[nodiscard]] const std::string& seal_note() const { return seal_note_; }
  // The key that epoch 0 had, as text: what an auditor pins beside the log's key.
  [[nodiscard]] const std::string& first_key() const { return first_key_; }

  // The checkpoint with both signatures. That of the seal's own size was signed before its key was
  // erased, and is kept.
  [[nodiscard]] std::string sign(const SigningKey& log_key, std::uint64_t size,
                                 const Hash& root) const;

  // Ends the epoch at this tree, durably, and begins the next one. With `next_log_key` the log's key
  // changes as well.
  Status end(const SigningKey& log_key, std::uint64_t size, const Hash& root,
             const SigningKey* next_log_key = nullptr);

 private:
  struct Slot;
  SignerEpoch(Fd file, SigningKey key) : file_(std::move(file)), key_(std::move(key)) {}
  static Slot read_slot(const Fd& file, std::uint64_t number);
  static Status write_slot(const Fd& file, std::uint64_t number, const Slot& slot);
  static Status erase_slot(const Fd& file, std::uint64_t number);
  static std::size_t newest_of(const Slot (&slots)[2]);
  static Status make_first(const Fd& dir, const SigningKey& log_key);

  Fd file_;
  SigningKey key_;
  Seal seal_;
  std::string seal_note_;
  std::string first_key_;
  std::string last_note_;  // the checkpoint that the epoch before ended with
};

}  // namespace oqto::audit
