#include "sandbox/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/sys.h"

namespace oqto::sandbox {
namespace {

constexpr std::string_view kPrefix = "oqto-";  // of every instance's name
constexpr std::size_t kMaxFile = 256 * 1024;
constexpr std::size_t kMaxShared = 4096;  // processes that are moved to NAME/main
constexpr int kWaitStepUs = 2000;
constexpr int kWaitSteps = 1000;
constexpr std::uint64_t kCpuPeriodUs = 100'000;

constexpr std::string_view kControllerNames[] = {"memory", "pids", "cpu", "io"};
constexpr bool Controllers::*kControllerFlags[] = {&Controllers::memory, &Controllers::pids,
                                                   &Controllers::cpu, &Controllers::io};

Result<std::string> read_file(const Fd& directory, const char* name) {
  const Fd file = Fd::adopt(::openat(directory.get(), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(name);
  return sys::read_all(file, kMaxFile);
}

// cgroup files take one write(2) each and answer with its error. `name` is static text.
Status write_file(const Fd& directory, const char* name, std::string_view text) {
  const Fd file = Fd::adopt(::openat(directory.get(), name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(name);
  if (::write(file.get(), text.data(), text.size()) < 0) return fail_errno(name);
  return {};
}

Result<Fd> open_at(const Fd& directory, const char* name) {
  Fd fd = Fd::adopt(::openat(directory.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno("open of a cgroup");
  return fd;
}

Result<Fd> make_at(const Fd& directory, const char* name) {
  if (::mkdirat(directory.get(), name, 0755) != 0 && errno != EEXIST) return fail_errno("mkdir of a cgroup");
  return open_at(directory, name);
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(at), text.size());
    if (end != 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t number_in(const Fd& directory, const char* name) {
  const auto text = read_file(directory, name);
  return text ? number(*text) : 0;
}

// `KEY VALUE` lines.
std::uint64_t keyed(const Fd& directory, const char* name, std::string_view key) {
  const auto text = read_file(directory, name);
  if (!text) return 0;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == 2 && words[0] == key) return number(words[1]);
  }
  return 0;
}

// "some avg10=1.23 avg60=…" in hundredths.
std::uint64_t pressure(const Fd& directory, const char* name) {
  const auto text = read_file(directory, name);
  constexpr std::string_view kStart = "some avg10=";
  if (!text || !text->starts_with(kStart)) return 0;
  std::string_view rest = std::string_view(*text).substr(kStart.size());
  rest = rest.substr(0, rest.find(' '));
  const std::size_t point = rest.find('.');
  if (point == rest.npos) return number(rest) * 100;
  return number(rest.substr(0, point)) * 100 + number(rest.substr(point + 1, 2));
}

Controllers listed(const Fd& directory, const char* name) {
  Controllers found;
  const auto text = read_file(directory, name);
  if (!text) return found;
  std::string words = *text;
  std::ranges::replace(words, '\n', ' ');
  for (const std::string_view word : split(words, ' ')) {
    for (std::size_t i = 0; i < std::size(kControllerNames); ++i) {
      if (word == kControllerNames[i]) found.*kControllerFlags[i] = true;
    }
  }
  return found;
}

// One at a time, so that one that is not to be had does not cost the others.
Status delegate_down(const Fd& directory) {
  const Controllers available = listed(directory, "cgroup.controllers");
  Status first;
  for (std::size_t i = 0; i < std::size(kControllerNames); ++i) {
    if (!(available.*kControllerFlags[i])) continue;
    const Status done = write_file(directory, "cgroup.subtree_control", '+' + std::string(kControllerNames[i]));
    if (!done && first) first = done;
  }
  return first;
}

bool is_delegated(const Fd& directory) {
  for (const char* name : {"user.delegate", "trusted.delegate"}) {  // as systemd marks it
    char value = 0;
    if (::fgetxattr(directory.get(), name, &value, 1) == 1 && value == '1') return true;
  }
  return false;
}

// Only the hierarchy's own root has no type; it may have processes beside children.
bool is_root(const Fd& directory) {
  return ::faccessat(directory.get(), "cgroup.type", F_OK, 0) != 0;
}

Result<Fd> find_delegated(const CgroupPlace& place) {
  // Where systemd runs, the root and what it has not given away are its own.
  const bool managed = ::access("/run/systemd/system", F_OK) == 0;
  for (std::string path = place.path;; path.resize(path.rfind('/'))) {
    Fd directory = TRY(sys::open_dir((place.mount + path).c_str()));
    if (is_delegated(directory)) return directory;
    if (path.empty() && is_root(directory) && (!managed || place.path.empty())) return directory;
    if (path.empty()) break;
  }
  return fail(Errc::denied, "this process is in no cgroup that was delegated to it");
}

bool has_processes(const Fd& directory) {
  const auto pids = read_file(directory, "cgroup.procs");
  return pids && !pids->empty();
}

// A cgroup with processes of its own can give no controllers to others below it.
Status move_all(const Fd& from, const Fd& to) {
  for (std::size_t moved = 0; moved < kMaxShared;) {
    const std::string pids = TRY(read_file(from, "cgroup.procs"));
    if (pids.empty()) return {};
    for (const std::string_view pid : split(pids, '\n')) {
      const Status done = write_file(to, "cgroup.procs", pid);
      if (!done && done.error().sys != ESRCH) return done;
      ++moved;
    }
  }
  return fail(Errc::limit, "too many processes share our cgroup");
}

// Ends and removes `name` and what is below it.
Status remove_below(const Fd& parent, const char* name, int depth = 0) {
  const auto directory = open_at(parent, name);
  if (!directory) return directory.error().sys == ENOENT ? Status{} : std::unexpected(directory.error());
  if (depth == 0) (void)write_file(*directory, "cgroup.kill", "1");
  const int copy = ::openat(directory->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const list = copy < 0 ? nullptr : ::fdopendir(copy);
  std::vector<std::string> children;
  while (list != nullptr && depth < 3) {
    const dirent* const entry = ::readdir(list);
    if (entry == nullptr) break;
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') children.emplace_back(entry->d_name);
  }
  if (list != nullptr) (void)::closedir(list);
  for (const std::string& child : children) TRY(remove_below(*directory, child.c_str(), depth + 1));
  for (int i = 0; i < kWaitSteps; ++i) {
    if (::unlinkat(parent.get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY) break;
    ::usleep(kWaitStepUs);
  }
  return fail_errno("rmdir of a cgroup");
}

// One instance for each tree, as long as its process lives: two would end each other's sessions. A lock of the kernel on
// a file that is opened for nothing else (closing any descriptor of it would give the lock up).
Result<Fd> lock_tree(const Fd& base, const std::string& name) {
  Fd file = Fd::adopt(::openat(base.get(), "cgroup.max.depth", O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno("open of a cgroup's lock");
  struct flock whole{};
  whole.l_type = F_WRLCK;
  if (::fcntl(file.get(), F_SETLK, &whole) == 0) return file;
  if (errno != EAGAIN && errno != EACCES) return fail_errno("lock of a cgroup");
  const bool found = ::fcntl(file.get(), F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK && whole.l_pid > 0;
  log::error("another process has this cgroup tree",
             {{"tree", name}, {"pid", found ? whole.l_pid : 0}, {"process", found ? sys::process_name(whole.l_pid) : ""}});
  return fail(Errc::unavailable, "another instance has the cgroup tree of these uids: stop it, or choose another --uid-base");
}

// What instances that have ended could not remove: at the root of the hierarchy that takes rights
// which they had given up by then. One that runs has children and stays.
void sweep(const Fd& delegated) {
  const int copy = ::openat(delegated.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const list = copy < 0 ? nullptr : ::fdopendir(copy);
  if (list == nullptr) return;
  std::vector<std::string> names;
  while (const dirent* const entry = ::readdir(list)) {
    if (std::string_view(entry->d_name).starts_with(kPrefix)) names.emplace_back(entry->d_name);
  }
  (void)::closedir(list);
  for (const std::string& name : names) (void)::unlinkat(delegated.get(), name.c_str(), AT_REMOVEDIR);
}

// The whole disk that `device` is or is a part of, "MAJOR:MINOR"; empty if it is none.
std::string disk_of(dev_t device) {
  if (major(device) == 0) return {};
  const std::string link = "/sys/dev/block/" + std::to_string(major(device)) + ':' + std::to_string(minor(device));
  const bool partition = ::access((link + "/partition").c_str(), F_OK) == 0;
  const auto file = sys::open_file((link + (partition ? "/../dev" : "/dev")).c_str(), O_RDONLY);
  auto text = file ? sys::read_all(*file, 64) : Result<std::string>(std::string());
  if (!text) return {};
  return text->substr(0, text->find('\n'));
}

Status set_limits(const Fd& leaf, const policies::Limits& limits, const Controllers& has, dev_t device) {
  if (has.memory) {
    TRY(write_file(leaf, "memory.max", std::to_string(limits.memory_bytes)));
    // Absent where the kernel has no swap at all.
    const Status swap = write_file(leaf, "memory.swap.max", std::to_string(limits.swap_bytes));
    if (!swap && swap.error().sys != ENOENT) return swap;
    // A session that has lost one process to this limit is of no use: it ends as a whole.
    TRY(write_file(leaf, "memory.oom.group", "1"));
  }
  if (has.pids) TRY(write_file(leaf, "pids.max", std::to_string(limits.max_processes)));
  if (has.cpu) {
    const std::uint64_t quota = limits.cpu_percent * kCpuPeriodUs / 100;
    TRY(write_file(leaf, "cpu.max", std::to_string(quota) + ' ' + std::to_string(kCpuPeriodUs)));
  }
  const std::string disk = has.io ? disk_of(device) : std::string();
  if (!disk.empty()) {
    const std::string bytes = std::to_string(limits.io_bytes_per_s);
    TRY(write_file(leaf, "io.max", disk + " rbps=" + bytes + " wbps=" + bytes));
  }
  return {};
}

}  // namespace

// --- where it is ---------------------------------------------------------------------------------

Result<CgroupPlace> find_cgroup2(std::string_view cgroup, std::string_view mountinfo) {
  std::string_view own;
  for (const std::string_view line : split(cgroup, '\n')) {
    if (line.starts_with("0::/")) own = line.substr(3);
  }
  if (own.empty()) return fail(Errc::not_found, "this kernel or host has no cgroup v2");
  if (own.contains("/..")) return fail(Errc::not_found, "our cgroup is outside of our cgroup namespace");
  if (own == "/") own = "";
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    const auto words = split(line.substr(0, dash), ' ');
    if (dash == line.npos || words.size() < 6 || !line.substr(dash + 3).starts_with("cgroup2 ")) continue;
    const std::string_view root = words[3] == "/" ? std::string_view() : words[3];
    if (words[4].contains('\\') || words[5].starts_with("ro")) continue;
    if (own != root && !(own.starts_with(root) && own[root.size()] == '/')) continue;
    return CgroupPlace{std::string(words[4]), std::string(own.substr(root.size()))};
  }
  return fail(Errc::not_found, "no writable cgroup v2 is mounted here");
}

std::string cgroup_advice(const Result<CgroupTree>& tree) {
  constexpr std::string_view kFix =
      ": start it with `systemd-run --scope -p Delegate=yes` (add --user without root), or as a "
      "systemd service with Delegate=yes";
  if (!tree) {
    const bool absent = tree.error().code == Errc::not_found;
    return std::string(tree.error().what) +
           (absent ? ": boot with systemd.unified_cgroup_hierarchy=1" : std::string(kFix));
  }
  const Controllers& has = tree->controllers();
  std::string missing;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!(has.*kControllerFlags[i])) missing += ' ' + std::string(kControllerNames[i]);
  }
  if (missing.empty()) return {};
  return "cgroup v2 has no controller" + missing +
         " for us: boot with systemd.unified_cgroup_hierarchy=1 (cgroup v1 may hold them)";
}

// --- the tree ------------------------------------------------------------------------------------

Result<CgroupTree> CgroupTree::create(std::string_view name) {
  CHECK(name.starts_with(kPrefix));
  const Fd own = TRY(sys::open_file("/proc/self/cgroup", O_RDONLY));
  const Fd mounts = TRY(sys::open_file("/proc/self/mountinfo", O_RDONLY));
  const auto place = TRY(find_cgroup2(TRY(sys::read_all(own, kMaxFile)), TRY(sys::read_all(mounts, 4 * kMaxFile))));
  CgroupTree tree;
  tree.delegated_ = TRY(find_delegated(place));
  sweep(tree.delegated_);
  tree.name_ = name;
  // With a child at all times from now on: without, another instance's sweep would take it away.
  const Fd base = TRY(make_at(tree.delegated_, tree.name_.c_str()));
  TRY(make_at(base, "starting"));
  tree.lock_ = TRY(lock_tree(base, tree.name_));
  // NAME/main may hold whoever started us, so only the sessions of an earlier instance are ended.
  TRY(remove_below(base, "sessions"));
  if (!is_root(tree.delegated_) && has_processes(tree.delegated_)) {
    TRY(move_all(tree.delegated_, TRY(make_at(base, "main"))));
  }
  TRY(delegate_down(tree.delegated_));
  TRY(delegate_down(base));
  tree.sessions_ = TRY(make_at(base, "sessions"));
  (void)::unlinkat(base.get(), "starting", AT_REMOVEDIR);
  TRY(delegate_down(tree.sessions_));
  tree.controllers_ = listed(tree.sessions_, "cgroup.subtree_control");
  return tree;
}

Result<Cgroup> CgroupTree::make(std::string_view name, const policies::Limits& limits, dev_t disk) {
  Cgroup leaf;
  leaf.name_ = name;
  // The last leaf of this name may have processes that are still dying.
  for (int i = 2; ::mkdirat(sessions_.get(), leaf.name_.c_str(), 0755) != 0; ++i) {
    if (errno != EEXIST || i > 64) return fail_errno("mkdir of a session's cgroup");
    if (::unlinkat(sessions_.get(), leaf.name_.c_str(), AT_REMOVEDIR) != 0) {
      leaf.name_ = std::string(name) + '.' + std::to_string(i);
    }
  }
  leaf.directory_ = TRY(open_at(sessions_, leaf.name_.c_str()));
  if (const Status limited = set_limits(leaf.directory_, limits, controllers_, disk); !limited) {
    (void)::unlinkat(sessions_.get(), leaf.name_.c_str(), AT_REMOVEDIR);
    return std::unexpected(limited.error());
  }
  return leaf;
}

Status CgroupTree::remove(const Cgroup& leaf) {
  if (::unlinkat(sessions_.get(), leaf.name_.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  if (errno == EBUSY) return fail(Errc::limit, "something in this cgroup still lives");
  return fail_errno("rmdir of a session's cgroup");
}

bool CgroupTree::is_lost() const { return ::faccessat(sessions_.get(), "cgroup.procs", F_OK, 0) != 0; }

void CgroupTree::remove_tree() {
  const auto base = open_at(delegated_, name_.c_str());
  if (!base) return;
  (void)remove_below(*base, "sessions");
  (void)::unlinkat(base->get(), "main", AT_REMOVEDIR);  // stays while we are in it
  (void)::unlinkat(delegated_.get(), name_.c_str(), AT_REMOVEDIR);
}

// --- a leaf --------------------------------------------------------------------------------------

Status Cgroup::kill() const { return write_file(directory_, "cgroup.kill", "1"); }

bool Cgroup::populated() const { return keyed(directory_, "cgroup.events", "populated") != 0; }

CgroupUsage Cgroup::usage() const {
  CgroupUsage usage;
  usage.memory_bytes = number_in(directory_, "memory.current");
  usage.memory_peak_bytes = number_in(directory_, "memory.peak");
  usage.swap_bytes = number_in(directory_, "memory.swap.current");
  usage.processes = number_in(directory_, "pids.current");
  usage.cpu_us = keyed(directory_, "cpu.stat", "usage_usec");
  usage.cpu_pressure = pressure(directory_, "cpu.pressure");
  usage.memory_pressure = pressure(directory_, "memory.pressure");
  usage.io_pressure = pressure(directory_, "io.pressure");
  usage.memory_kills = keyed(directory_, "memory.events", "oom_kill");
  if (const auto text = read_file(directory_, "io.stat")) {
    for (const std::string_view line : split(*text, '\n')) {
      for (const std::string_view word : split(line, ' ')) {
        if (word.starts_with("rbytes=")) usage.io_read_bytes += number(word.substr(7));
        if (word.starts_with("wbytes=")) usage.io_written_bytes += number(word.substr(7));
      }
    }
  }
  return usage;
}

}  // namespace oqto::sandbox
