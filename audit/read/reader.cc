#include "audit/read/reader.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "audit/format/format.h"
#include "audit/format/note.h"
#include "audit/format/segment_file.h"
#include "audit/format/tile_store.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr std::size_t kMaxNoteFile = 64 * 1024;

Result<std::string> read_from(const Fd& file, std::uint64_t offset) {
  if (::lseek(file.get(), static_cast<off_t>(offset), SEEK_SET) < 0) return fail_errno("lseek");
  return sys::read_all(file, kMaxSegment + 2 * kMaxBody);
}

}  // namespace

Result<LogReader> LogReader::open(const std::string& dir) {
  Fd log = TRY(sys::open_dir(dir.c_str()));
  auto segments = sys::open_beneath(log, kSegmentDir, O_RDONLY | O_DIRECTORY);
  if (!segments) return fail(Errc::not_found, "no audit log: it has no directory `segment`");
  LogReader reader(std::move(log), std::move(*segments));
  TRY(reader.seek(0));
  return reader;
}

Status LogReader::seek(std::uint64_t from) {
  const auto firsts = TRY(list_segments(segments_));
  if (firsts.empty()) return fail(Errc::not_found, "no audit log: `segment` is empty");
  segment_ = firsts.front();
  for (const std::uint64_t first : firsts) {
    if (first <= from) segment_ = first;
  }
  file_ = TRY(sys::open_beneath(segments_, segment_name(segment_).c_str(), O_RDONLY));
  next_ = segment_;
  offset_ = 0;
  return {};
}

bool LogReader::is_durable(std::uint64_t end) {
  if (end <= published_ || sys::open_beneath(segments_, segment_name(end).c_str(), O_RDONLY)) {
    return true;
  }
  const auto note = read_log_file(log_, kCheckpointFile, kMaxNoteFile);
  const auto checkpoint = note ? read_checkpoint(*note) : std::nullopt;
  if (checkpoint) published_ = checkpoint->size;
  return end <= published_;
}

Result<bool> LogReader::read_segment_part(const EntrySink& sink) {
  const std::string data = TRY(read_from(file_, offset_));
  std::string_view rest = data;
  bool is_new = false;
  for (;;) {
    const Batch batch = read_batch(rest);
    if (batch.state == BatchState::end || batch.state == BatchState::unfinished) return is_new;
    if (batch.state == BatchState::damaged || batch.first != next_) {
      return fail(Errc::bad_message, "a damaged batch");
    }
    // Zeros behind it are room, not a batch.
    const bool is_last = rest.size() == batch.length || rest[batch.length] == '\0';
    if (only_durable_ && is_last && !is_durable(batch.first + batch.entries.size())) return is_new;
    for (const std::string_view entry : batch.entries) TRY(sink(next_++, entry));
    rest.remove_prefix(batch.length);
    offset_ += batch.length;
    is_new = true;
  }
}

Status LogReader::read_new(const EntrySink& sink) {
  for (;;) {
    const bool is_new = TRY(read_segment_part(sink));
    // A segment ends where the next one, named after the next index, begins.
    auto next = segment_ == next_
                    ? Result<Fd>(Fd())
                    : sys::open_beneath(segments_, segment_name(next_).c_str(), O_RDONLY);
    if (next && *next) {
      file_ = std::move(*next);
      segment_ = next_;
      offset_ = 0;
    } else if (!is_new) {
      return {};
    }
  }
}

Result<std::uint64_t> LogReader::count() {
  TRY(seek(~std::uint64_t{0}));
  TRY(read_new([](std::uint64_t, std::string_view) { return Status(); }));
  return next_;
}

std::string LogReader::where() const {
  return std::string(kSegmentDir) + "/" + segment_name(segment_) + " at byte " +
         std::to_string(offset_);
}

// Where the first batch that is not whole begins, as read_batch() has it; of what is examined later
// anyway this costs another hash, so that it is asked for the newest segment alone.
static BatchState first_end(std::string_view data) {
  for (;;) {
    const Batch batch = read_batch(data);
    if (batch.state != BatchState::complete) return batch.state;
    data.remove_prefix(batch.length);
  }
}

Result<std::string> read_newest_segment(const Fd& dir, const std::string& name) {
  constexpr int kTries = 20;
  constexpr timespec kPause{0, 50'000'000};
  std::string data = TRY(read_log_file(dir, name, kMaxSegmentFile));
  for (int i = 0; i < kTries && first_end(data) == BatchState::damaged; ++i) {
    (void)::nanosleep(&kPause, nullptr);
    std::string again = TRY(read_log_file(dir, name, kMaxSegmentFile));
    if (again == data) break;
    data = std::move(again);
  }
  return data;
}

}  // namespace oqto::audit
