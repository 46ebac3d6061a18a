#include "audit/auditd/derived.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>

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

// A partial tile is the beginning of every wider one.
bool begins(const Fd& partials, const std::string& name, std::string_view whole) {
  const auto file = sys::open_beneath(partials, name.c_str(), O_RDONLY);
  const auto found = file ? sys::read_all(*file, whole.size()) : std::unexpected(file.error());
  return found && !found->empty() && whole.starts_with(*found);
}

// Removes the partial tiles in `path`, a `.p` directory, but for the `keep` widest; of these too, if
// `whole` is given, what is no beginning of it: a power cut can leave files without their content.
Status prune(const Fd& dir, const std::string& path, std::size_t keep,
             std::optional<std::string_view> whole = {}) {
  const auto partials = sys::open_beneath(dir, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (!partials) return {};  // most tiles were never published half full
  std::vector<std::string> names = TRY(list_directory(*partials));
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;  // widest first
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i < keep && (!whole || begins(*partials, names[i], *whole))) continue;
    if (::unlinkat(partials->get(), names[i].c_str(), 0) != 0) return fail_errno("unlinkat");
  }
  if (keep == 0 && ::unlinkat(dir.get(), path.c_str(), AT_REMOVEDIR) != 0) {
    return fail_errno("unlinkat of a directory");
  }
  return {};
}

}  // namespace

// --- the files ---

Status DerivedFiles::write_full(const TileFile& file) {
  const std::string path = tile_path(file.level, file.index, kTileWidth);
  TRY(put_file(dir_, path, file.content));
  return prune(dir_, path + ".p", 0);
}

Status DerivedFiles::write_checkpoint(const std::vector<TileFile>& partials, std::string_view note) {
  for (const TileFile& file : partials) {
    TRY(put_file(dir_, tile_path(file.level, file.index, file.width), file.content));
    TRY(prune(dir_, tile_path(file.level, file.index, kTileWidth) + ".p", kKeptPartials,
              has_written_ ? std::nullopt : std::optional<std::string_view>(file.content)));
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

Status Derived::finish() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return jobs_.empty() || !failure_; });
  return failure_;
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
    if (written) {
      bytes_ -= job.bytes;
      jobs_.pop_front();
    }
    done_.notify_all();
    if (!written) {
      to_do_.wait_for(lock, std::chrono::milliseconds(kRetryMs), [&] { return stopping_; });
    }
  }
}

}  // namespace oqto::audit
