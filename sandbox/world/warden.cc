#include "sandbox/world/warden.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/sys.h"
#include "sandbox/monitor/explain.h"
#include "sandbox/world/descriptors.h"
#include "sandbox/world/paths.h"
#include "sandbox/world/tree.h"

namespace oqto::sandbox {
namespace {

constexpr std::size_t kMaxName = 255;
constexpr int kQuickTries = 100, kTries = 2000;
constexpr unsigned kPauseUs = 200;
constexpr int kLookMs = 50;
constexpr char kDirectory = 'd', kFile = 'f';
constexpr std::string_view kDone = "done", kNotDone = "no";

bool is_mount_point(const std::string& path) {
  struct statx found {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &found) == 0 &&
         (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

bool is_absent(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) != 0 && errno == ENOENT;
}

void await(const Fd& channel) {
  pollfd entry{channel.get(), POLLIN, 0};
  while (::poll(&entry, 1, -1) <= 0) {
  }
}

// A byte for its kind and the name, and then the directory.
Status ask_for_stub(const Fd& janitor, const Fd& parent, const Cover& cover) {
  Fd directory = TRY(sys::open_beneath(parent, ".", O_RDONLY | O_DIRECTORY));
  std::string request(1, cover.directory ? kDirectory : kFile);
  request += last_name(cover.inside);
  TRY(sys::write_all(janitor, request));
  std::vector<Fd> one;
  one.push_back(std::move(directory));
  TRY(send_descriptors(janitor, one));
  await(janitor);
  char answer[8];
  const ssize_t n = ::recv(janitor.get(), answer, sizeof answer, 0);
  if (n > 0 && std::string_view(answer, static_cast<std::size_t>(n)) == kDone) return {};
  return fail(Errc::denied, "it was removed outside and cannot be kept from being created inside");
}

}  // namespace

Result<Warden> Warden::open(const Layout& layout) {
  Warden warden;
  warden.changes_ = TRY(sys::open_file("/proc/self/mountinfo", O_RDONLY));
  for (const Cover& cover : layout.covers) {
    // What lies in the sandbox's own directories, nobody outside can reach.
    if (!cover.if_present) warden.covers_.push_back(cover);
  }
  for (const Mount& mount : layout.mounts) {
    const Mount* around = layout.showing(parent_path(mount.inside));
    if (around != nullptr && around->source == Mount::Source::host) {
      warden.mounts_.push_back(mount.inside);
    }
  }
  return warden;
}

Status Warden::watch() {
  root_ = TRY(sys::open_file("/", O_PATH | O_DIRECTORY));
  if (covers_.empty()) return {};
  moves_ = Fd::adopt(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  watch_directories();
  return {};
}

void Warden::watch_directories() {
  for (const Cover& cover : covers_) {
    if (!moves_) return;
    const std::string directory(parent_path(cover.inside));
    const int watch = ::inotify_add_watch(moves_.get(), directory.c_str(),
                                          IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR);
    // One that is itself hidden or gone has nothing in it to watch.
    if (watch < 0 && errno == ENOSPC) moves_.reset();
  }
}

bool Warden::concerns_a_cover() const {
  alignas(inotify_event) char events[4096];
  bool concerned = false;
  ssize_t n;
  while ((n = ::read(moves_.get(), events, sizeof events)) > 0) {
    for (ssize_t at = 0; at < n;) {
      inotify_event event{};
      std::memcpy(&event, events + at, sizeof event);
      const char* name = event.len > 0 ? events + at + sizeof event : "";
      concerned =
          concerned || event.len == 0 || std::ranges::any_of(covers_, [name](const Cover& cover) {
            return last_name(cover.inside) == name;
          });
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  return concerned;
}

bool Warden::wait(const Fd& end) const {
  // A user has few inotify instances (fs.inotify.max_user_instances): without one we look by the
  // clock.
  const int timeout = moves_ || covers_.empty() ? -1 : kLookMs;
  for (;;) {
    pollfd ends[] = {{end.get(), POLLIN, 0},
                     {changes_.get(), POLLPRI, 0},
                     {moves_ ? moves_.get() : -1, POLLIN, 0}};
    const int ready = ::poll(ends, std::size(ends), timeout);
    if (ready > 0 && ends[0].revents != 0) return false;
    if (ready == 0 || ends[1].revents != 0) return true;
    if (ready > 0 && ends[2].revents != 0 && concerns_a_cover()) return true;
  }
}

std::expected<void, StartFailure> Warden::restore(const Fd& janitor) {
  for (const std::string& mount : mounts_) {
    if (!is_mount_point(mount)) {
      return refuse("`" + mount + "` was removed outside while it was in use");
    }
  }
  for (const Cover& cover : covers_) {
    std::expected<void, StartFailure> restored;
    // The kernel takes the cover away before the new file is in place: we can be too early, and
    // then it is a matter of microseconds.
    for (int tries = 0; tries < kTries && !is_mount_point(cover.inside); ++tries) {
      restored = restore(cover, janitor);
      if (!restored && tries > kQuickTries) (void)::usleep(kPauseUs);
    }
    if (!restored && !is_mount_point(cover.inside)) return restored;
  }
  watch_directories();
  return {};
}

std::expected<void, StartFailure> Warden::restore(const Cover& cover, const Fd& janitor) {
  Cover again = cover;
  if (is_absent(cover.inside)) {
    const Fd parent = TRY(find_beneath(root_, parent_path(cover.inside), true));
    const Status placed = ask_for_stub(janitor, parent, cover);
    if (!placed) return refuse("`" + cover.inside + "`: " + explain(placed.error()));
    if (again.how == Cover::How::pin) again.how = Cover::How::read_only;
  }
  return lay(again, root_, false);
}

Status serve_warden(const Fd& channel, PlacedStubs& stubs) {
  char request[kMaxName + 1];
  const ssize_t n = ::recv(channel.get(), request, sizeof request, 0);
  if (n <= 1) return fail(Errc::unavailable, "the warden is gone");
  await(channel);
  auto directory = TRY(receive_descriptors(channel));
  if (directory.size() != 1) return fail(Errc::bad_message, "not one directory");
  const std::string name(request + 1, static_cast<std::size_t>(n) - 1);
  const Status placed = stubs.place_in(std::move(directory.front()),
                                       stub_for('/' + name, {}, request[0] == kDirectory));
  return sys::write_all(channel, placed ? kDone : kNotDone);
}

}  // namespace oqto::sandbox
