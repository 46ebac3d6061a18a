// The log directory as it lies there, handed on as it is: whether it is genuine, the browser
// judges. What is not in the tiles yet comes from the follower, which has just read it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/format/note.h"
#include "audit/format/tenant_keys.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::auditor {

class LogView {
 public:
  static Result<LogView> open(const std::string& dir);

  struct Published {
    std::string note;
    audit::Checkpoint checkpoint;  // as the note says; unverified
  };
  [[nodiscard]] Result<Published> published() const;

  // From its bundle in a tree of `size`. Errc::not_found: it is not there (any more).
  Result<std::string> entry(std::uint64_t index, std::uint64_t size);
  Result<std::vector<audit::Hash>> prove_inclusion(std::uint64_t index, std::uint64_t size) const;
  Result<std::vector<audit::Hash>> prove_consistency(std::uint64_t old_size,
                                                     std::uint64_t size) const;

  // What of an entry is sealed: its plaintext, as long as there is a key that opens it.
  enum class Opening : std::uint8_t { nothing_sealed, opened, no_key, erased };
  struct Opened {
    Opening how{};
    std::string plaintext;
  };
  Opened open_sealed(std::uint64_t index, std::string_view entry);

  [[nodiscard]] const Fd& dir() const { return dir_; }

 private:
  explicit LogView(Fd dir) : dir_(std::move(dir)) {}
  Fd dir_;
  std::uint64_t bundle_ = ~std::uint64_t{0};
  std::string bundle_bytes_;
};

}  // namespace oqto::auditor
