#include "audit/auditd/derived.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "audit/format/segment_file.h"
#include "base/log.h"
#include "base/sys.h"

namespace oqto::audit {
namespace {

constexpr const char* kTmpFile = "tmp/new";

Status make_parents(const Fd& dir, const std::string& path) {
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    if (::mkdirat(dir.get(), path.substr(0, slash).c_str(), kSharedDir) != 0 && errno != EEXIST) {
      return fail_errno("mkdirat in the log directory");
    }
  }
  return {};
}

bool holds(const Fd& dir, const std::string& path, std::string_view content) {
  const auto file = sys::open_beneath(dir, path.c_str(), O_RDONLY);
  if (!file) return false;
  const auto found = sys::read_all(*file, content.size());
  return found && *found == content;
}

// Leaves a file alone that is right already: after a restart nearly all of them are. Nothing waits for
// the disk here; what a power cut takes, the next start makes again.
Status put_file(const Fd& dir, const std::string& path, std::string_view content) {
  if (holds(dir, path, content)) return {};
  {
    const Fd file = TRY(sys::open_beneath(dir, kTmpFile, O_WRONLY | O_CREAT | O_TRUNC, kSharedFile));
    TRY(sys::write_all(file, content));
  }
  if (::renameat(dir.get(), kTmpFile, dir.get(), path.c_str()) == 0) return {};
  if (errno != ENOENT) return fail_errno("renameat in the log directory");
  TRY(make_parents(dir, path));
  if (::renameat(dir.get(), kTmpFile, dir.get(), path.c_str()) != 0) {
    return fail_errno("renameat in the log directory");
  }
  return {};
}

// What a partial tile of this width holds: the beginning of every wider one.
std::string_view beginning(const TileFile& file, std::size_t width) {
  const std::string_view whole = file.content;
  if (file.level != kEntriesLevel) return whole.substr(0, width * sizeof(Hash));
  SplitBody split = split_body(whole);
  split.entries.resize(std::min(split.entries.size(), width));
  std::size_t length = 0;
  for (const std::string_view entry : split.entries) length += 2 + entry.size();
  return whole.substr(0, length);
}

struct Partials {
  Fd dir;
  std::vector<std::size_t> widths;  // ascending
};

// Those of a tile. Files of other names are removed: nothing but this process writes there.
Result<Partials> partials_of(const Fd& dir, const std::string& path) {
  Partials found{TRY(sys::open_beneath(dir, path.c_str(), O_RDONLY | O_DIRECTORY)), {}};
  for (const std::string& name : TRY(list_directory(found.dir))) {
    std::size_t width = 0;
    const char* end = name.data() + name.size();
    const bool is_width = std::from_chars(name.data(), end, width).ptr == end && width < kTileWidth;
    if (is_width && width > 0 && name == std::to_string(width)) {
      found.widths.push_back(width);
    } else if (::unlinkat(found.dir.get(), name.c_str(), 0) != 0) {
      return fail_errno("unlinkat");
    }
  }
  std::ranges::sort(found.widths);
  return found;
}

// The full tile is there: nobody needs those any more.
Status remove_partials(const Fd& dir, const std::string& path) {
  const auto partials = partials_of(dir, path);
  if (!partials) return {};  // most tiles were never published half full
  for (const std::size_t width : partials->widths) {
    if (::unlinkat(partials->dir.get(), std::to_string(width).c_str(), 0) != 0) {
      return fail_errno("unlinkat");
    }
  }
  if (::unlinkat(dir.get(), path.c_str(), AT_REMOVEDIR) != 0) {
    return fail_errno("unlinkat of a directory");
  }
  return {};
}

// A power cut can leave files without their content: those of checkpoints that were published are made
// again from the newest.
Status restore_partials(const Fd& dir, const TileFile& newest) {
  const std::string path = tile_path(newest.level, newest.index, kTileWidth) + ".p";
  for (const std::size_t width : TRY(partials_of(dir, path)).widths) {
    const std::string file = path + "/" + std::to_string(width);
    if (width <= newest.width) {
      TRY(put_file(dir, file, beginning(newest, width)));
    } else if (::unlinkat(dir.get(), file.c_str(), 0) != 0) {
      return fail_errno("unlinkat");
    }
  }
  return {};
}

// Hash tiles are small and all stay. Half full bundles of long entries could take gigabytes.
Status bound_bundles(const Fd& dir, const TileFile& newest) {
  if (newest.width * newest.content.size() <= DerivedFiles::kMaxBundles) return {};
  const std::string path = tile_path(newest.level, newest.index, kTileWidth) + ".p";
  Partials partials = TRY(partials_of(dir, path));
  std::size_t bytes = 0;
  while (!partials.widths.empty()) {
    const std::size_t width = partials.widths.back();
    partials.widths.pop_back();
    bytes += beginning(newest, width).size();
    if (bytes <= DerivedFiles::kMaxBundles || width == newest.width) continue;
    if (::unlinkat(partials.dir.get(), std::to_string(width).c_str(), 0) != 0) {
      return fail_errno("unlinkat");
    }
  }
  return {};
}

}  // namespace

// --- the files ---

Status DerivedFiles::write_full(const TileFile& file) {
  const std::string path = tile_path(file.level, file.index, kTileWidth);
  TRY(put_file(dir_, path, file.content));
  return remove_partials(dir_, path + ".p");
}

Status DerivedFiles::write_checkpoint(const std::vector<TileFile>& partials, std::string_view note) {
  for (const TileFile& file : partials) {
    TRY(put_file(dir_, tile_path(file.level, file.index, file.width), file.content));
    if (!has_written_) TRY(restore_partials(dir_, file));
    if (file.level == kEntriesLevel) TRY(bound_bundles(dir_, file));
  }
  TRY(put_file(dir_, kCheckpointFile, note));
  has_written_ = true;
  return {};
}

// --- the thread of auditd ---

std::unique_ptr<Derived> Derived::start(Fd log_dir) {
  auto derived = std::unique_ptr<Derived>(new Derived(std::move(log_dir)));
  derived->thread_ = std::thread([&self = *derived] { self.work(); });
  return derived;
}

Derived::~Derived() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  to_do_.notify_one();
  thread_.join();
}

Status Derived::wait_for_room() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return bytes_ <= kMuch || !failure_; });
  if (bytes_ <= kMuch) return {};
  return fail(Errc::limit, "the audit log's tiles cannot be written");
}

bool Derived::has_room() {
  const std::lock_guard lock(mutex_);
  return bytes_ <= kMuch;
}

// What failed some time ago is tried once more: there may be room by now.
Status Derived::finish() {
  std::unique_lock lock(mutex_);
  hurry_ = true;
  to_do_.notify_one();
  const std::uint64_t before = tries_;
  // The first try that ends may have begun before we came.
  done_.wait(lock, [&] { return jobs_.empty() || (!failure_ && tries_ >= before + 2); });
  hurry_ = false;
  return jobs_.empty() ? Status() : failure_;
}

void Derived::add(Job job) {
  for (const TileFile& file : job.files) job.bytes += file.content.size();
  {
    const std::lock_guard lock(mutex_);
    bytes_ += job.bytes;
    // A checkpoint that is still to be written is not awaited by anybody when there is a newer one.
    if (!job.note.empty() && jobs_.size() > 1 && !jobs_.back().note.empty()) {
      bytes_ -= std::exchange(jobs_.back(), std::move(job)).bytes;
    } else {
      jobs_.push_back(std::move(job));
    }
  }
  to_do_.notify_one();
}

void Derived::write_full(std::vector<TileFile> files) {
  if (!files.empty()) add({std::move(files), {}});
}

void Derived::publish(std::vector<TileFile> partials, std::string note) {
  add({std::move(partials), std::move(note)});
}

// --- the thread of its own ---

Status Derived::write(Job& job) {
  if (!job.note.empty()) return files_.write_checkpoint(job.files, job.note);
  while (!job.files.empty()) {
    TRY(files_.write_full(job.files.back()));
    job.files.pop_back();
  }
  return {};
}

void Derived::work() {
  (void)::setpriority(PRIO_PROCESS, 0, kNice);  // of this thread alone
  std::unique_lock lock(mutex_);
  for (;;) {
    to_do_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job& job = jobs_.front();  // nobody else touches the first one
    lock.unlock();
    const Status written = write(job);
    lock.lock();
    if (!written && failure_) {
      log::warn("the tiles cannot be written now; the log itself is complete",
                {{"cause", written.error().what}});
    }
    failure_ = written;
    ++tries_;
    if (written) {
      bytes_ -= job.bytes;
      jobs_.pop_front();
    }
    done_.notify_all();
    if (!written) {
      to_do_.wait_for(lock, std::chrono::milliseconds(kRetryMs), [&] { return stopping_ || hurry_; });
    }
  }
}

}  // namespace oqto::audit
