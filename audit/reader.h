// Reads the committed entries of a log that may be growing. Structure is checked, signatures are
// not: that is `oqto-audit verify`.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

using EntrySink = std::function<Status(std::uint64_t index, std::string_view entry)>;

class LogReader {
 public:
  // Begins at the first segment.
  static Result<LogReader> open(const std::string& dir);

  // Starts over at the newest segment whose first index is not above `from`.
  Status seek(std::uint64_t from);
  // Hands over each entry that was committed since the last call. Errc::bad_message: a batch is
  // damaged; where() says which.
  Status read_new(const EntrySink& sink);

  // How many entries are committed.
  Result<std::uint64_t> count();

  [[nodiscard]] std::string where() const;

 private:
  explicit LogReader(Fd segments) : segments_(std::move(segments)) {}
  Result<bool> read_segment_part(const EntrySink& sink);  // true: there was something new

  Fd segments_;
  Fd file_;
  std::uint64_t segment_ = 0;  // first index of the open one
  std::uint64_t offset_ = 0;
  std::uint64_t next_ = 0;  // index of the next entry
};

}  // namespace oqto::audit
