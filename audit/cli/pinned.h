// What the commands that prove and check demand of a checkpoint: the pinned log's key and, once the
// seals were followed, the keys of its epoch, also across rotations of the log's key.
#pragma once
#include <optional>
#include <string>

#include "audit/cli/cli.h"
#include "audit/read/prove.h"
#include "audit/read/seals.h"

namespace oqto::audit::cli {

struct Pinned {
  Pin pin;
  std::optional<FollowedSeals> seals;  // nullopt: the log's key alone is demanded

  // nullopt after a complaint.
  static std::optional<Pinned> read(const Arguments& arguments);

  // Errors as verify_checkpoint().
  [[nodiscard]] Result<Checkpoint> verify(std::string_view note) const;
  // By the log's key alone, as far as it is known: what contradicts such a note convicts the log.
  [[nodiscard]] Result<Checkpoint> verify_by_log(std::string_view note) const;
  // What the log's key alone stands behind; empty: nothing.
  [[nodiscard]] std::string remark() const;
};

// The log's own checkpoint, or `note`, as far as the pinned lines and the log's seals show that it
// is to be believed. With both lines, or a checkpoint that another key signed, or for who wants
// them, the seals are read from the log and followed. `status` after a complaint.
struct Believed {
  Published tree;
  std::optional<Seals> seals;
};
std::optional<Believed> believe(const Fd& log, const std::string& path,
                                std::optional<std::string> note, bool wants_seals, Pinned& pinned,
                                int& status);

// What proofs fail of: the log's content (1), or that it cannot be read (2).
int proof_failed(const std::string& log, const Error& error);
int unproven(const std::string& what);  // kFindings

}  // namespace oqto::audit::cli
