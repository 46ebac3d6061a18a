// Which files of the workspace change while a session runs, whoever changes them: by inotify, outside
// the sandbox. Alike changes are joined, records are rationed, and directories that programs fill with
// thousands of files are counted as one. What the bounds left out is said, never silently left out.
#pragma once
#include <sys/inotify.h>

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "ipc/loop.h"
#include "sandbox/monitor/missed_changes.h"
#include "sandbox/monitor/recorder.h"

namespace oqto::sandbox {

constexpr std::size_t kMaxWatchedDirectories = 4096;
constexpr std::size_t kMaxCrowdedDirectories = 1024;  // of those, below crowded ones
constexpr std::size_t kMaxDirectoryDepth = 64;
constexpr std::size_t kMaxDirectoryPath = 1024;  // bytes
constexpr std::size_t kMaxChanges = 512;  // told apart at once; the rest are counted together
constexpr std::uint64_t kChangeJoinMs = 1000;
constexpr std::uint64_t kChangeBurst = 200;
constexpr std::uint64_t kChangesPerSecond = 10;
constexpr std::size_t kRoomForOthers = 16;  // records that execs may need

class FileWatch final : private ipc::Watcher {
 public:
  // `root`: the workspace's directory; `inside`: what the session calls it.
  FileWatch(Recorder& recorder, Fd root, std::string inside)
      : recorder_(recorder), root_(std::move(root)), inside_(std::move(inside)) {}
  FileWatch(const FileWatch&) = delete;
  ~FileWatch() override;

  // What the kernel does not let us watch is recorded as missing; an error is one of the loop's.
  Status attach(ipc::Loop& loop);
  void tick(std::uint64_t now);  // monotonic milliseconds
  void flush();  // at the end: nothing of the session runs any more
  // How long tick() can wait: 0 while directories are still to be watched, -1 for ever.
  [[nodiscard]] int timeout_ms() const;

 private:
  struct Change {
    std::string target;       // of a rename
    std::uint64_t since = 0;  // monotonic
    std::uint64_t at = 0;     // unix milliseconds
    std::uint64_t count = 0;
  };
  struct Moved {
    std::string path;
    bool is_directory = false;
  };
  struct Watched {
    std::string path;          // relative; "" is the workspace
    bool crowded = false;      // as it was counted
    std::uint64_t round = 0;   // the last one that met it
  };
  // Why a directory is to be watched: what is in it already was there before us, came before the watch, or is known if
  // the directory is.
  enum class How : std::uint8_t { found, made, moved };
  void on_ready(std::uint32_t events) override;
  void take(const inotify_event& event, std::string_view name);
  void move(const std::string& path, const inotify_event& event, bool is_directory);
  void settle_moves();
  bool read_some();
  void watch_some();
  void watch_later(const std::string& directory, How how);
  void watch(const std::string& directory, How how);
  bool add_watch(const Fd& fd, const std::string& directory);
  void list(Fd fd, const std::string& directory, How how);
  void look_again();
  void end_round();
  void rename_below(const std::string& from, const std::string& to);
  void forget_below(const std::string& directory);
  void note(ipc::Event event, const std::string& path, std::string target = {});
  void record(ipc::Event event, const std::string& path, const Change& change);
  void miss(Missed why, const std::string& where = {});
  [[nodiscard]] bool may_record(std::uint64_t now);
  [[nodiscard]] Fd open(const std::string& directory) const;  // errno says why not

  Recorder& recorder_;
  Fd root_, inotify_;
  std::string inside_;
  ipc::Loop* loop_ = nullptr;
  std::map<int, Watched> directories_;
  std::size_t crowded_ = 0;
  std::deque<std::pair<std::string, How>> pending_;      // to be watched
  // After events were lost all is looked for again, in a round: what it does not meet is not there any more.
  std::uint64_t round_ = 0, round_began_ = 0;
  bool look_again_ = false, in_round_ = false;
  std::map<std::uint32_t, Moved> moved_;                 // from there, by cookie
  std::map<std::pair<ipc::Event, std::string>, Change> changes_;
  MissedChanges missed_;
  std::uint64_t ration_ = kChangeBurst;
  std::uint64_t refilled_ = 0;
};

// The directory that stands for `path`, if it lies in one that programs fill: "a/node_modules".
std::optional<std::string> crowded_directory(std::string_view path);

}  // namespace oqto::sandbox
