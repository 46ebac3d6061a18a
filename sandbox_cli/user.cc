#include "sandbox_cli/user.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/encoding.h"
#include "base/sys.h"
#include "sandbox/policy/policy.h"

namespace oqto::sandbox_cli {
namespace {

constexpr std::size_t kMaxAccountFile = 1024 * 1024;
constexpr std::size_t kMaxName = 32;

std::unexpected<std::string> no(std::string text) {
  return std::unexpected(std::move(text));
}
std::string because() {
  return std::string(": ") + ::strerrordesc_np(errno);
}

std::vector<std::string_view> split(std::string_view line, char by) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = line.find(by);
    parts.push_back(line.substr(0, end));
    if (end == line.npos) return parts;
    line.remove_prefix(end + 1);
  }
}

// The line of /etc/passwd or /etc/group with this number in the third column. The files are read
// as they are: the name services of libc would load foreign code, for two names that only decorate.
std::vector<std::string> account_line(const char* path, std::uint32_t id) {
  const auto file = sys::open_file(path, O_RDONLY);
  const auto text = file ? sys::read_all(*file, kMaxAccountFile) : std::string();
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n')) {
    const auto columns = split(line, ':');
    if (columns.size() > 2 && columns[2] == std::to_string(id)) {
      return {columns.begin(), columns.end()};
    }
  }
  return {};
}

std::string plain_name(std::string name, std::string_view otherwise) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  const bool good = !name.empty() && name.size() <= kMaxName && name[0] != '-' &&
                    name.find_first_not_of(kAllowed) == name.npos && name != "root";
  return good ? name : std::string(otherwise);
}

std::string environment(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

// For ever, also for what is executed from here on.
Outcome<> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
      ::syscall(SYS_capset, &header, none) != 0) {
    return no("capabilities cannot be given up" + because());
  }
  return {};
}

Outcome<> leave_root(uid_t wanted) {
  const auto account = account_line("/etc/passwd", wanted);
  gid_t gid = wanted;
  if (account.size() > 3) {
    (void)std::from_chars(account[3].data(), account[3].data() + account[3].size(), gid);
  }
  if (gid == 0) return no("user " + std::to_string(wanted) + " has root's group: give another one");
  if (::setgroups(0, nullptr) != 0 || ::setresgid(gid, gid, gid) != 0 ||
      ::setresuid(wanted, wanted, wanted) != 0) {
    return no("becoming user " + std::to_string(wanted) + because());
  }
  // What root's environment says of directories is not for this user, unless it was set for it.
  struct stat info {};
  if (::stat(environment("HOME").c_str(), &info) == 0 && info.st_uid == wanted) return {};
  for (const char* name : {"HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"}) {
    (void)::unsetenv(name);
  }
  return {};
}

std::string base_directory(const char* variable, const User& user, const char* otherwise) {
  const std::string set = environment(variable);
  // The specification of these variables: a value that is not absolute is to be ignored.
  return (set.starts_with('/') ? set : user.home + otherwise) + "/oqto";
}

Outcome<Fd> make_directory(const Fd& parent, const std::string& name, const std::string& shown) {
  if (::mkdirat(parent.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
    return no(shown + because());
  }
  auto made = sys::open_beneath(parent, name.c_str(), O_PATH | O_DIRECTORY);
  if (!made) {
    errno = made.error().sys;
    return no(shown + because() + " (it must be a directory, and no symbolic link)");
  }
  return std::move(*made);
}

// One directory per component, so that no two workspaces meet and no length is too long. "%home"
// cannot be a component: '%' is escaped there.
std::vector<std::string> home_components(const std::string& workspace) {
  std::vector<std::string> all;
  for (const std::string_view part : split(std::string_view(workspace).substr(1), '/')) {
    std::string& name = all.emplace_back();
    for (const char c : part) {
      if (c == '%')
        name += "%25";
      else
        name += c;
    }
  }
  all.emplace_back("%home");
  return all;
}

}  // namespace

Outcome<std::string> real_path(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return no(path + because());
  std::string text = resolved;
  ::free(resolved);  // NOLINT: realpath's
  return text;
}

Outcome<User> become_user(std::optional<uid_t> wanted) {
  const bool root = ::getuid() == 0 || ::geteuid() == 0;
  if (root && !wanted) {
    return no(
        "not as root: a sandbox must not hold the host's uid 0. Run it as an ordinary user, or "
        "give --user UID");
  }
  if (wanted && !root) return no("--user is for root only");
  if (::getuid() != ::geteuid() || ::getgid() != ::getegid()) {
    return no("this program must not be set-user-id or set-group-id");
  }
  if (root) TRY(leave_root(*wanted));
  TRY(drop_capabilities());
  return current_user();
}

Outcome<User> current_user() {
  User user{.uid = ::getuid(), .gid = ::getgid(), .name = {}, .group = {}, .home = {}};
  const auto account = account_line("/etc/passwd", user.uid);
  const auto group = account_line("/etc/group", user.gid);
  user.name = plain_name(account.empty() ? environment("USER") : account[0], "user");
  user.group = plain_name(group.empty() ? "" : group[0], user.name);
  std::string home = environment("HOME");
  if (home.empty() && account.size() > 5) home = account[5];
  if (!home.starts_with('/')) return no("HOME is not set to an absolute path");
  auto real = real_path(home);
  if (!real) return no("your home directory " + real.error() + ": set HOME to one that exists");
  user.home = *real;
  return user;
}

std::string config_directory(const User& user) {
  return base_directory("XDG_CONFIG_HOME", user, "/.config");
}
std::string data_directory(const User& user) {
  return base_directory("XDG_DATA_HOME", user, "/.local/share");
}

Outcome<std::string> program_directory() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n <= 0 || n == sizeof path) return no("/proc/self/exe cannot be read: is /proc mounted?");
  const std::string_view whole(path, static_cast<std::size_t>(n));
  return std::string(whole.substr(0, whole.rfind('/')));
}

Outcome<Directory> open_workspace(const User& user, const std::string& wanted) {
  using sandbox::path_contains;
  auto path = real_path(wanted.empty() ? "." : wanted);
  if (!path) return no("the workspace " + path.error());
  Directory workspace{*path, {}};
  const std::string the = "the workspace " + *path;
  if (path->size() > sandbox::kMaxPolicyItem) return no("the workspace's path is too long");
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (!is_valid_utf8(*path) || std::ranges::any_of(*path, is_control)) {
    return no(the + " has control characters in its path, or is not UTF-8: rename it");
  }
  if (path_contains(*path, user.home)) {
    return no(the + " is your home directory, or above it: give a project directory");
  }
  for (const std::string& own :
       {config_directory(user), data_directory(user), TRY(program_directory())}) {
    const std::string real = real_path(own).value_or(own);
    if (path_contains(*path, real) || path_contains(real, *path)) {
      return no(the + " and " + real +
                " overlap, where the sandbox keeps its own things: give another directory");
    }
  }
  const Fd root = Fd::adopt(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  auto opened = sys::open_beneath(root, path->c_str() + 1, O_PATH | O_DIRECTORY);
  struct stat info {};
  if (!opened || ::fstat(opened->get(), &info) != 0) {
    if (!opened) errno = opened.error().sys;
    return no(the + because());
  }
  if (info.st_uid != user.uid) return no(the + " is not yours: give a directory that you own");
  workspace.fd = std::move(*opened);
  return workspace;
}

Outcome<Directory> open_private_home(const User& user, const std::string& workspace) {
  std::string path = data_directory(user);
  // Only this first part may lead through symbolic links: they are the user's own.
  const std::string above = path.substr(0, path.rfind('/'));
  for (std::size_t slash = 1; slash != std::string::npos;) {
    slash = above.find('/', slash + 1);
    (void)::mkdir(above.substr(0, slash).c_str(), 0700);
  }
  Fd at = Fd::adopt(::open(above.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) return no(above + because() + " (private homes are kept there: see XDG_DATA_HOME)");
  path = TRY(real_path(above));
  std::vector<std::string> names = {"oqto", "homes"};
  for (std::string& name : home_components(workspace)) names.push_back(std::move(name));
  for (const std::string& name : names) {
    path += '/' + name;
    at = TRY(make_directory(at, name, path));
  }
  struct stat info {};
  if (::fstat(at.get(), &info) != 0 || info.st_uid != user.uid) return no(path + " is not yours");
  if ((info.st_mode & 077) != 0 && ::chmod(path.c_str(), 0700) != 0) return no(path + because());
  return Directory{path, std::move(at)};
}

}  // namespace oqto::sandbox_cli
