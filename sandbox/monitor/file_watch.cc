#include "sandbox/monitor/file_watch.h"

#include <dirent.h>
#include <fcntl.h>
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

ipc::AuditAppend new_record(Event event, ipc::Outcome outcome) {
  ipc::AuditAppend record;
  record.event = event;
  record.phase = ipc::Phase::event;
  record.outcome = outcome;
  return record;
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
  if (!inotify_) return fail_errno("inotify_init1");
  TRY(loop.watch(inotify_, *this));
  loop_ = &loop;
  pending_.emplace_back("", false);
  return {};
}

int FileWatch::timeout_ms() const {
  if (!pending_.empty()) return 0;
  return changes_.empty() && !overflown_ && unwatched_ == said_unwatched_ ? -1 : static_cast<int>(kChangeJoinMs);
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
    if (++depth > kMaxDirectoryDepth) return {};
  }
  return at;
}

void FileWatch::watch_some() {
  for (std::size_t i = 0; i < kDirectoriesPerTurn && !pending_.empty(); ++i) {
    const auto [directory, is_new] = std::move(pending_.front());
    pending_.pop_front();
    watch(directory, is_new);
  }
}

// What is already in a directory that was made a moment ago came before the watch.
void FileWatch::watch(const std::string& directory, bool is_new) {
  const bool crowded = crowded_directory(directory + "/.").has_value();
  Fd fd = open(directory);
  if (!fd) return;  // gone again, or no directory any more
  if (directories_.size() >= kMaxWatchedDirectories || (crowded && crowded_ >= kMaxCrowdedDirectories)) {
    unwatched_ = true;
    return;
  }
  const int number = ::inotify_add_watch(inotify_.get(), ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), kMask);
  if (number < 0) {
    unwatched_ = true;
    return;
  }
  if (directories_.insert_or_assign(number, directory).second && crowded) ++crowded_;
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(fd.get()), ::closedir);
  if (!list) return;
  (void)fd.release();
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const std::string path = joined(directory, name);
    if (is_new) note(Event::file_create, path);
    if (entry->d_type != DT_DIR) continue;
    if (pending_.size() >= kMaxPending) {
      unwatched_ = true;
      continue;
    }
    pending_.emplace_back(path, is_new);
  }
}

void FileWatch::rename_below(const std::string& from, const std::string& to) {
  for (auto& [number, path] : directories_) {
    if (path == from || is_below(path, from)) path = to + path.substr(from.size());
  }
  for (auto& [path, is_new] : pending_) {
    if (path == from || is_below(path, from)) path = to + path.substr(from.size());
  }
}

void FileWatch::forget_below(const std::string& directory) {
  for (const auto& [number, path] : directories_) {
    // The kernel answers with IN_IGNORED, which takes it out of our list.
    if (path == directory || is_below(path, directory)) (void)::inotify_rm_watch(inotify_.get(), number);
  }
}

// --- events ------------------------------------------------------------------------------------

void FileWatch::on_ready(std::uint32_t) {
  alignas(inotify_event) char buffer[16 * 1024];
  for (int i = 0; i < kReads; ++i) {
    const ssize_t n = ::read(inotify_.get(), buffer, sizeof buffer);
    if (n <= 0) break;
    for (const char* at = buffer; at < buffer + n;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(at);
      take(*event, event->len == 0 ? std::string_view() : std::string_view(at + sizeof *event));
      at += sizeof *event + event->len;
    }
  }
  settle_moves();
}

void FileWatch::take(const inotify_event& event, std::string_view name) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) {
    overflown_ = true;
    return;
  }
  const auto found = directories_.find(event.wd);
  if (found == directories_.end()) return;
  if ((event.mask & IN_IGNORED) != 0) {
    if (crowded_directory(found->second + "/.")) --crowded_;
    directories_.erase(found);
    return;
  }
  const bool is_directory = (event.mask & IN_ISDIR) != 0;
  const std::string path = joined(found->second, name);
  if ((event.mask & (IN_MOVED_FROM | IN_MOVED_TO)) != 0) return move(path, event, is_directory);
  if ((event.mask & IN_CREATE) != 0) {
    note(Event::file_create, path);
    if (is_directory && pending_.size() < kMaxPending) pending_.emplace_back(path, true);
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
    if (is_directory && pending_.size() < kMaxPending) pending_.emplace_back(path, true);
    return;
  }
  if (is_directory) rename_below(from->second.path, path);
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
  auto record = new_record(event, ipc::Outcome::success);
  if (path == kOthers) {
    record.add(FieldKey::reason, "more changes than are told apart");
  } else {
    record.add(FieldKey::path, inside_ + '/' + path);
  }
  if (!change.target.empty()) record.add(FieldKey::target, inside_ + '/' + change.target);
  record.add(FieldKey::count, std::to_string(change.count)).add(FieldKey::at, sys::utc_text(change.at));
  recorder_.add(std::move(record));
}

void FileWatch::say_what_is_missing() {
  const auto say = [this](std::string_view what) {
    auto record = new_record(Event::file_update, ipc::Outcome::unknown);
    record.add(FieldKey::truncated, "true").add(FieldKey::reason, what);
    recorder_.add(std::move(record));
  };
  if (std::exchange(overflown_, false)) say("changes came faster than they could be read: some are missing here");
  if (!unwatched_ || std::exchange(said_unwatched_, true)) return;
  say("the workspace has more directories than are watched: changes in the others are not recorded");
}

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
  if (may_record(now)) say_what_is_missing();
}

void FileWatch::flush() {
  if (loop_ == nullptr) return;
  on_ready(0);
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
  if (recorder_.available()) say_what_is_missing();
}

}  // namespace oqto::sandbox
