// Reads the committed entries of a log that may be growing. Structure is checked, signatures are
// not: that is `oqto-audit verify`.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "audit/format/format.h"
#include "base/fd.h"
#include "base/result.h"

namespace oqto::audit {

using EntrySink = std::function<Status(std::uint64_t index, std::string_view entry)>;

constexpr std::size_t kMaxSegmentFile = kMaxSegment + 2 * kMaxBody;

// The whole of a log's newest segment, which auditd may be writing to: half a batch in it is damage only if it
// stays. Errors as read_log_file().
Result<std::string> read_newest_segment(const Fd& dir, const std::string& path);

class LogReader {
 public:
  // Begins at the first segment.
  static Result<LogReader> open(const std::string& dir);

  // Starts over at the newest segment whose first index is not above `from`.
  Status seek(std::uint64_t from);
  // Hands over each entry that was committed since the last call. Errc::bad_message: a batch is
  // damaged; where() says which.
  Status read_new(const EntrySink& sink);

  // Holds the newest batch back until it is surely on the disk: until another one follows it, or
  // the published checkpoint covers it. Without this, the newest batch is signed, and a power cut
  // at this very instant could still take it away.
  void only_durable() { only_durable_ = true; }

  // How many entries are committed.
  Result<std::uint64_t> count();

  [[nodiscard]] std::string where() const;

 private:
  LogReader(Fd log, Fd segments) : log_(std::move(log)), segments_(std::move(segments)) {}
  Result<bool> read_segment_part(const EntrySink& sink);  // true: there was something new
  bool is_durable(std::uint64_t end);

  Fd log_;
  Fd segments_;
  Fd file_;
  std::uint64_t segment_ = 0;  // first index of the open one
  std::uint64_t offset_ = 0;
  std::uint64_t next_ = 0;  // index of the next entry
  bool only_durable_ = false;
  std::uint64_t published_ = 0;  // as far as is known
};

}  // namespace oqto::audit
