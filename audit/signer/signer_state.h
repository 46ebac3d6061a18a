// What the signer never forgets: its key, and the size and root that it signed last.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "audit/format/note.h"
#include "base/fd.h"
#include "ipc/audit.h"

namespace oqto::audit {

struct SignedTree {
  std::uint64_t size = 0;
  Hash root{};
  bool operator==(const SignedTree&) const = default;
};

// The file has two places. `latest` is written before every signature and survives the death of any
// process; it counts only until the machine restarts, because the log's own last batch may not have
// reached the disk when the power went. `settled` is made durable when the log has synced what was
// signed, which every request of auditd's says of what was signed before it.
class SignerState {
 public:
  static constexpr std::uint64_t kSettleEveryMs = 1000;  // at most, while it signs

  // Reads `state` in `dir`; makes it if neither it nor a key exists yet.
  static Result<SignerState> open(const Fd& dir, bool has_key);

  [[nodiscard]] const SignedTree& last() const { return latest_; }
  [[nodiscard]] ipc::Recall recall() const { return recall_; }
  Status remember(const SignedTree& tree);  // before it is signed
  // A seal that was made durable counts as signed, whatever a power cut left here.
  Status reach(const SignedTree& tree);
  Status settle();                          // fdatasync, if there is something to settle
 private:
  explicit SignerState(Fd file) : file_(std::move(file)) {}
  [[nodiscard]] bool is_settled() const { return settled_ == latest_; }
  Status write_slot(std::uint64_t offset, const SignedTree& tree);
  Status write_settled(const SignedTree& tree);

  Fd file_;
  std::string boot_id_;
  SignedTree latest_;
  SignedTree settled_;
  std::uint64_t settled_at_ms_ = 0;
  ipc::Recall recall_ = ipc::Recall::at_least;
};

// Replaces a file in `dir` as a whole, durably.
Status write_new_file(const Fd& dir, const char* name, std::string_view content, mode_t mode);

// A name that no other log has: a checkpoint's origin identifies its log, and a witness of two hosts must
// not take them for one. "web1.example.org/audit/5f3a9c0e1b2d4f60": the host's name, for people, and 64
// random bits.
std::string new_origin(std::string_view host);

// Reads `log.key` in `dir`, or makes it, with a new origin unless one is given: a log keeps the name that
// its key was made with. Errc::invalid: the key belongs to another origin than the one that is given.
Result<SigningKey> open_key(const Fd& dir, const std::string& origin);
// Writes `log.vkey`, what an auditor is given: the log's public key and, on the second line, that of
// epoch 0. With the first alone a thief of the log's key could begin a history of his own.
Status publish_keys(const Fd& dir, const VerifierKey& log_key, const std::string& first_epoch_key);
bool key_exists(const Fd& dir);

// A rotation of the log's key: the next one is written as `log.key.next`, then a seal is made durable
// that names it (signer_epoch.h), and then it takes the place of the old one, which is overwritten.
Status write_next_key(const Fd& dir, const SigningKey& key, uid_t owner, gid_t group);
Status promote_next_key(const Fd& dir);
// What a crash in the middle of it left: `sealed` is the log's key as the newest seal names it.
Status finish_rotation(const Fd& dir, const VerifierKey& sealed);

}  // namespace oqto::audit
