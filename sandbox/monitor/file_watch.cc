#include "sandbox/monitor/file_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/sys.h"

namespace oqto::sandbox {
namespace {

using ipc::Event;
using ipc::FieldKey;

constexpr std::uint32_t kMask = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR |
                                IN_EXCL_UNLINK;
constexpr int kReads = 16;                 // in a row, before others have their turn
constexpr std::size_t kDirectoriesPerTurn = 64;
constexpr std::size_t kMaxPending = 16 * 1024;
constexpr std::uint64_t kRoundMs = 2000;    // between two rounds, however often events are lost
constexpr std::uint64_t kFlushMs = 1000;    // for what is still unread at the end
constexpr std::string_view kCrowded[] = {"node_modules", ".venv",  "__pycache__", ".cache", ".gradle",
                                         ".next",        ".turbo", "target",      "site-packages"};
constexpr std::string_view kOthers = "";

std::string joined(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty()) path += '/';
  return path += name;
}

bool is_below(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() && path.starts_with(directory) && path[directory.size()] == '/';
}

bool is_crowded(const std::string& directory) { return crowded_directory(directory + "/.").has_value(); }

bool is_directory_in(int fd, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat info{};  // not every file system says so in its list
  return ::fstatat(fd, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

std::optional<std::string> crowded_directory(std::string_view path) {
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view name = path.substr(start, end - start);
    const std::string_view here = path.substr(0, end);
    const bool git = here == ".git/objects" || here.ends_with("/.git/objects");
    if (end < path.size() && (git || std::ranges::find(kCrowded, name) != std::end(kCrowded))) {
      return std::string(here);
    }
    start = end + 1;
  }
  return std::nullopt;
}

FileWatch::~FileWatch() {
  if (loop_ != nullptr) loop_->unwatch(inotify_, *this);
}

Status FileWatch::attach(ipc::Loop& loop) {
  if (!root_) return {};
  inotify_ = Fd::adopt(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) {
    miss(Missed::unwatchable);
    return {};
  }
  TRY(loop.watch(inotify_, *this));
  loop_ = &loop;
  pending_.emplace_back("", How::found);
  return {};
}

int FileWatch::timeout_ms() const {
  const bool is_due = look_again_ && sys::monotonic_ms() >= round_began_ + kRoundMs;
  if (!pending_.empty() || is_due) return 0;
  return changes_.empty() && !missed_.any() && !look_again_ ? -1 : static_cast<int>(kChangeJoinMs);
}

// --- directories -------------------------------------------------------------------------------

// Name by name: no link of the workspace leads us anywhere.
Fd FileWatch::open(const std::string& directory) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Fd at = Fd::adopt(::openat(root_.get(), ".", kFlags));
  std::size_t depth = 0;
  for (std::size_t start = 0; at && start < directory.size();) {
    const std::size_t end = std::min(directory.find('/', start), directory.size());
    at = Fd::adopt(::openat(at.get(), directory.substr(start, end - start).c_str(), kFlags));
    start = end + 1;
    if (++depth <= kMaxDirectoryDepth) continue;
    errno = ENAMETOOLONG;
    return {};
  }
  return at;
}

void FileWatch::watch_later(const std::string& directory, How how) {
  if (directory.size() > kMaxDirectoryPath) return miss(Missed::too_deep, directory.substr(0, kMaxDirectoryPath));
  if (pending_.size() >= kMaxPending) return miss(Missed::too_many, directory);
  pending_.emplace_back(directory, how);
}

void FileWatch::watch_some() {
  for (std::size_t i = 0; i < kDirectoriesPerTurn && !pending_.empty(); ++i) {
    const auto [directory, how] = std::move(pending_.front());
    pending_.pop_front();
    watch(directory, how);
  }
  if (!pending_.empty()) return;
  if (in_round_) end_round();
  if (look_again_ && sys::monotonic_ms() >= round_began_ + kRoundMs) look_again();
}

// Directories may have been made, and others renamed, by events that are lost.
void FileWatch::look_again() {
  look_again_ = false;
  in_round_ = true;
  ++round_;
  round_began_ = sys::monotonic_ms();
  pending_.emplace_back("", How::found);
}

void FileWatch::end_round() {
  in_round_ = false;
  for (const auto& [number, watched] : directories_) {
    if (watched.round != round_) (void)::inotify_rm_watch(inotify_.get(), number);
  }
}

void FileWatch::watch(const std::string& directory, How how) {
  Fd fd = open(directory);
  if (!fd && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return;  // gone again, or no directory any more
  if (!fd) return miss(errno == ENAMETOOLONG ? Missed::too_deep : Missed::unreadable, directory);
  const std::size_t before = directories_.size();
  if (!add_watch(fd, directory)) return;
  const bool is_fresh = directories_.size() != before;
  if (how == How::moved && !is_fresh) return;
  // What is already in a directory that we have not met came before the watch.
  list(std::move(fd), directory, how == How::found ? How::found : How::made);
}

// One that is watched already gets the name that it has now.
bool FileWatch::add_watch(const Fd& fd, const std::string& directory) {
  const int number = ::inotify_add_watch(inotify_.get(), ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), kMask);
  if (number < 0) {
    miss(errno == EACCES ? Missed::unreadable : Missed::no_watches, directory);
    return false;
  }
  const bool crowded = is_crowded(directory);
  const auto known = directories_.find(number);
  if (known != directories_.end()) {
    crowded_ -= known->second.crowded ? 1U : 0U;
  } else if (directories_.size() >= kMaxWatchedDirectories || (crowded && crowded_ >= kMaxCrowdedDirectories)) {
    (void)::inotify_rm_watch(inotify_.get(), number);
    miss(Missed::too_many, directory);
    return false;
  }
  directories_.insert_or_assign(number, Watched{directory, crowded, round_});
  crowded_ += crowded ? 1U : 0U;
  return true;
}

void FileWatch::list(Fd fd, const std::string& directory, How how) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd.get()), ::closedir);
  if (!entries) return miss(Missed::unreadable, directory);
  (void)fd.release();
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(entries.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = joined(directory, name);
    if (how == How::made) note(Event::file_create, path);
    if (is_directory_in(::dirfd(entries.get()), *entry)) watch_later(path, how);
  }
  if (errno != 0) miss(Missed::unreadable, directory);
}

void FileWatch::rename_below(const std::string& from, const std::string& to) {
  // What a rename makes longer than we keep is watched no more: no tenant has our memory by it.
  const auto is_followed = [&](std::string& path) {
    if (path != from && !is_below(path, from)) return true;
    path = to + path.substr(from.size());
    if (path.size() <= kMaxDirectoryPath) return true;
    miss(Missed::too_deep, path.substr(0, kMaxDirectoryPath));
    return false;
  };
  for (auto each = directories_.begin(); each != directories_.end();) {
    auto& [number, watched] = *each;
    if (watched.path == to) {  // it was replaced, or both change places, which is told as two renames
      miss(Missed::exchanged, to);
      look_again_ = true;
    }
    if (is_followed(watched.path)) {
      ++each;
      continue;
    }
    (void)::inotify_rm_watch(inotify_.get(), number);
    crowded_ -= watched.crowded ? 1U : 0U;
    each = directories_.erase(each);
  }
  std::erase_if(pending_, [&](auto& one) { return !is_followed(one.first); });
}

void FileWatch::forget_below(const std::string& directory) {
  for (const auto& [number, watched] : directories_) {
    // The kernel answers with IN_IGNORED, which takes it out of our list.
    if (watched.path == directory || is_below(watched.path, directory)) (void)::inotify_rm_watch(inotify_.get(), number);
  }
}

// --- events ------------------------------------------------------------------------------------

void FileWatch::on_ready(std::uint32_t) { (void)read_some(); }

// False: there is no more.
bool FileWatch::read_some() {
  alignas(inotify_event) char buffer[16 * 1024];
  bool more = true;
  for (int i = 0; i < kReads && more; ++i) {
    const ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
    more = n > 0;
    for (const char* at = buffer; at < buffer + n;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(at);
      take(*event, event->len == 0 ? std::string_view() : std::string_view(at + sizeof *event));
      at += sizeof *event + event->len;
    }
  }
  settle_moves();
  return more;
}

void FileWatch::take(const inotify_event& event, std::string_view name) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    miss(Missed::overflow);
    look_again_ = true;
    return;
  }
  const auto found = directories_.find(event.wd);
  if (found == directories_.end()) return;
  if ((event.mask & IN_IGNORED) != 0) {
    crowded_ -= found->second.crowded ? 1U : 0U;
    directories_.erase(found);
    return;
  }
  const bool is_directory = (event.mask & IN_ISDIR) != 0;
  const std::string path = joined(found->second.path, name);
  if ((event.mask & (IN_MOVED_FROM | IN_MOVED_TO)) != 0) return move(path, event, is_directory);
  if ((event.mask & IN_CREATE) != 0) {
    note(Event::file_create, path);
    if (is_directory) watch_later(path, How::made);
  }
  if ((event.mask & IN_CLOSE_WRITE) != 0) note(Event::file_update, path);
  if ((event.mask & IN_DELETE) != 0) note(Event::file_delete, path);
}

// Both halves of a move stand side by side, unless one of them is out of sight.
void FileWatch::move(const std::string& path, const inotify_event& event, bool is_directory) {
  if ((event.mask & IN_MOVED_FROM) != 0) {
    moved_[event.cookie] = {path, is_directory};
    return;
  }
  const auto from = moved_.find(event.cookie);
  if (from == moved_.end()) {
    note(Event::file_create, path);
    if (is_directory) watch_later(path, How::made);
    return;
  }
  if (is_directory) {
    rename_below(from->second.path, path);
    // By its old name we may have watched another one, which was made there meanwhile.
    watch_later(path, How::moved);
  }
  note(Event::file_rename, from->second.path, path);
  moved_.erase(from);
}

void FileWatch::settle_moves() {
  for (const auto& [cookie, moved] : std::exchange(moved_, {})) {
    note(Event::file_delete, moved.path);
    if (moved.is_directory) forget_below(moved.path);
  }
}

// --- records -----------------------------------------------------------------------------------

void FileWatch::note(Event event, const std::string& path, std::string target) {
  std::string place = path;
  if (const auto crowd = crowded_directory(path)) {
    place = *crowd + '/';
    event = Event::file_update;
    target.clear();
  }
  // What was made just now is written to, as a rule: that is one change.
  if (event == Event::file_update && changes_.contains({Event::file_create, place})) return;
  if (!changes_.contains({event, place}) && changes_.size() >= kMaxChanges) {
    event = Event::file_update;
    place = kOthers;
    target.clear();
  }
  Change& change = changes_[{event, place}];
  if (change.count++ != 0) {
    if (event == Event::file_rename) change.target = std::move(target);
    return;
  }
  change.since = sys::monotonic_ms();
  change.at = sys::now_ms();
  change.target = std::move(target);
}

void FileWatch::record(Event event, const std::string& path, const Change& change) {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = ipc::Phase::event;
  record.outcome = ipc::Outcome::success;
  if (path == kOthers) {
    record.add(FieldKey::reason, "more changes than are told apart");
  } else {
    record.add(FieldKey::path, inside_ + '/' + path);
  }
  if (!change.target.empty()) record.add(FieldKey::target, inside_ + '/' + change.target);
  record.add(FieldKey::count, std::to_string(change.count)).add(FieldKey::at, sys::utc_text(change.at));
  recorder_.add(std::move(record));
}

void FileWatch::miss(Missed why, const std::string& where) { missed_.add(why, where, sys::monotonic_ms()); }

bool FileWatch::may_record(std::uint64_t now) {
  if (now >= refilled_ + 1000) {
    ration_ = std::min(kChangeBurst, ration_ + (now - refilled_) / 1000 * kChangesPerSecond);
    refilled_ = now;
  }
  return ration_ != 0 && recorder_.available() && recorder_.has_room(kRoomForOthers);
}

void FileWatch::tick(std::uint64_t now) {
  watch_some();
  for (auto each = changes_.begin(); each != changes_.end();) {
    if (now < each->second.since + kChangeJoinMs) {
      ++each;
      continue;
    }
    if (!may_record(now)) return;
    --ration_;
    record(each->first.first, each->first.second, each->second);
    each = changes_.erase(each);
  }
  ipc::AuditAppend missing;
  while (missed_.any() && may_record(now) && missed_.take(now, kChangeJoinMs, inside_, missing)) {
    --ration_;
    recorder_.add(std::move(missing));
  }
}

void FileWatch::flush() {
  const std::uint64_t until = sys::monotonic_ms() + kFlushMs;
  bool more = loop_ != nullptr;
  while (more && sys::monotonic_ms() < until) {
    more = read_some();
    look_again_ = false;  // nothing will happen any more where we have not been
    watch_some();
    more = more || !pending_.empty();
  }
  if (more) miss(Missed::unfinished);
  std::uint64_t left = 0;
  for (const auto& [key, change] : changes_) {
    if (recorder_.available() && recorder_.has_room(kRoomForOthers)) {
      record(key.first, key.second, change);
    } else {
      left += change.count;
    }
  }
  changes_.clear();
  if (left != 0 && recorder_.available()) record(Event::file_update, std::string(kOthers), {{}, 0, sys::now_ms(), left});
  ipc::AuditAppend missing;
  while (recorder_.available() && missed_.take(sys::monotonic_ms(), 0, inside_, missing)) recorder_.add(std::move(missing));
}

}  // namespace oqto::sandbox
