// Epochs make the past safe from whoever steals today's keys. Every checkpoint carries, beside the
// signature of the log's key, one of a key that exists for one epoch only. At its end a seal is made:
// a note that names what the log holds, and the key of the next epoch. It is signed with the log's
// key and the key that ends, which is then erased. The seal stands in the log as the entry of the
// index that it names as its size: the first entry of the next epoch. The one of epoch 0 is the first
// entry of the log.
//
//   oqto-audit-seal/v1
//   <origin>
//   <number of the epoch that begins>
//   <size>                            entries before it
//   <root, base64>                    of that tree
//   <time>                            Unix milliseconds, by the signer's clock
//   <public key of this epoch>        name+hash+base64, the name being <origin>/epoch/<number>
//   <public key of the log>           from here on: another one after a rotation
//
//   — <origin> …                      the log's key until here; epoch 0: the one above
//   — <origin>/epoch/<number - 1> …   not for epoch 0
//   — <origin> …                      after a rotation: the log's new key as well
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/note.h"

namespace oqto::audit {

struct Seal {
  std::uint64_t epoch = 0;  // that begins
  std::uint64_t size = 0;
  Hash root{};
  std::uint64_t time_ms = 0;
  VerifierKey epoch_key;
  VerifierKey log_key;  // its name is the origin
};
constexpr std::size_t kMaxSeal = 2048;

std::string epoch_key_name(std::string_view origin, std::uint64_t epoch);
std::string seal_body(const Seal& seal);
// What a seal's note says, unverified; nullopt: it is none.
std::optional<Seal> read_seal(std::string_view note);

// The keys that sign from a seal on.
struct EpochKeys {
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;  // of the seal that began it
  VerifierKey log;
  VerifierKey key;
  // If it was found by add_claims():
  Hash leaf{};              // of the entry with the seal
  bool is_rotation = false;  // another log key signed before
};

// Demands that the seal follows `before` (nullptr: that it is the first), with every signature that
// it must have. Whether its root is that of the log is for the caller to compare.
Status verify_seal(std::string_view note, const EpochKeys* before);

// A checkpoint with both signatures. Errors as verify_checkpoint().
Result<Checkpoint> verify_in_epoch(std::string_view note, const EpochKeys& keys);

// Cheap: whether an entry is one that says that it is a seal.
bool is_seal_entry(std::string_view entry);
// The note in such an entry, nullopt if it holds none.
std::optional<std::string> seal_in_entry(std::string_view entry);

// Which keys signed what, in the order of the log.
class KeyChain {
 public:
  // Those that must have signed a tree of this size; nullptr: nothing is known of them.
  [[nodiscard]] const EpochKeys* of_size(std::uint64_t size) const;
  [[nodiscard]] const EpochKeys* last() const { return links_.empty() ? nullptr : &links_.back(); }
  [[nodiscard]] bool has_log_key(const VerifierKey& key) const;
  void add(EpochKeys keys) { links_.push_back(std::move(keys)); }
  [[nodiscard]] const std::vector<EpochKeys>& links() const { return links_; }
  // What the seals in a segment claim, wherever they stand in it, for use ahead of their check.
  void add_claims(std::string_view segment);

 private:
  std::vector<EpochKeys> links_;
};

}  // namespace oqto::audit
