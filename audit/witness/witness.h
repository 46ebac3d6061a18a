// A witness (C2SP tlog-witness): remembers the largest tree of each of its logs, and cosigns only
// what continues it. Who has seen its cosignature knows that nobody else was shown another past.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "audit/format/note.h"
#include "audit/read/seals.h"
#include "audit/witness/http.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

class Witness {
 public:
  // Reads what it remembers from `state`, a directory that it takes for itself alone. Two keys of one
  // origin are those of one log only if a seal in `rotations` leads from the first to the other: else they
  // are two logs that bear one name, and are refused (Errc::denied). Errc::invalid: the memory is damaged,
  // or was signed by other keys: without it nothing may be cosigned.
  static Result<Witness> open(const std::string& state, SigningKey key, const std::vector<Pin>& logs,
                              const std::vector<Seals>& rotations = {});

  // The body of a request to add-checkpoint. What is answered with 200 is on the disk. An error:
  // what is on the disk is not known, and the witness must end.
  Result<HttpResponse> add_checkpoint(std::string_view body);

  // For monitors: the newest checkpoint that was cosigned of the log whose origin has this SHA-256, in hex.
  [[nodiscard]] HttpResponse checkpoint(std::string_view origin_hash) const;

  [[nodiscard]] const VerifierKey& key() const { return key_.verifier(); }
  // Origins of which nothing is remembered.
  [[nodiscard]] std::vector<std::string> unknown() const;

 private:
  struct Log {
    std::vector<VerifierKey> keys;
    std::string note;  // with the log's signature and ours; empty: never seen
    Checkpoint latest;
    std::uint64_t time = 0;  // Unix seconds of our cosignature
  };
  struct Submission {
    Checkpoint checkpoint;
    std::string note;  // with the log's signature alone
  };
  static constexpr int kMaxConflicts = 16;

  Witness(Fd state, SigningKey key) : state_(std::move(state)), key_(std::move(key)) {}
  Status load(const std::string& origin, Log& log);
  static Result<Submission> check_signature(const std::string& note, const Log& log);
  Status keep(const std::string& origin, const std::string& note, bool& is_kept);
  void keep_conflict(const std::string& origin, const Log& log, const std::string& note);

  Fd state_;
  SigningKey key_;
  std::map<std::string, Log, std::less<>> logs_;
};

}  // namespace oqto::audit
